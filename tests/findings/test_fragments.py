"""A sentence that cleaning has cut says something, says what it said, or goes whole."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pairaug.findings import extract
from pairaug.rewrite.cleaning import clean
from pairaug.rewrite.mending import finished, is_bare, is_fragment, is_stated_by

KINDS = {
    "a subject whose verb has gone has no article": [
        ("The effusion has increased.", "Effusion."),
        ("The left nodule has decreased in size.", "Left nodule."),
        ("These nodules appear slightly larger as compared to prior examination.", "Nodules."),
        (
            "The right consolidation is unchanged from the prior examination.",
            "Right consolidation.",
        ),
        (
            "There has been improvement in the previously noted left lower lobe opacity.",
            "Left lower lobe opacity.",
        ),
        ("Interval worsening of the now large right effusion.", "Large right effusion."),
        (
            "The previously seen nodule is in the right upper lobe.",
            "The nodule is in the right upper lobe.",
        ),
    ],
    "examinations, possessives and dates leave no hole": [
        (
            "Small right effusion is not visualized on today's study.",
            "Small right effusion is not visualized.",
        ),
        ("No edema on today's exam.", "No edema."),
        ("Small nodule, better seen on today's radiograph of the ribs.", "Small nodule."),
        ("Lungs are clear on the current study.", "Lungs are clear."),
        (
            "Small nodule, unchanged appearance from previous examination 2 years ago.",
            "Small nodule.",
        ),
        ("Right effusion drained on 03/04/2020 (arrow).", "Right effusion drained."),
        ("Left effusion 3 weeks ago.", ""),
        ("No nodule since the previous examinations.", "No nodule."),
        ("The heart is persistently enlarged.", "The heart is enlarged."),
        ("Right effusion, compared to prior examinations.", "Right effusion."),
    ],
    "verbs agree and keep what follows them": [
        ("There are persistent small bilateral effusions.", "There are small bilateral effusions."),
        (
            "There are stable degenerative changes of the spine.",
            "There are degenerative changes of the spine.",
        ),
        (
            "Heart size and mediastinal silhouette are normal.",
            "Heart size and mediastinal silhouette are normal.",
        ),
        (
            "The heart and mediastinum are unchanged with a tortuous aorta.",
            "Heart and mediastinum with a tortuous aorta.",
        ),
        (
            "Two nodules are unchanged from prior and may represent granulomas.",
            "Two nodules may represent granulomas.",
        ),
        ("There is stable, mild cardiomegaly.", "There is mild cardiomegaly."),
        ("The mediastinum and XXXX are normal.", "The mediastinum is normal."),
        (
            "Some calcifications of the aorta are seen.",
            "Some calcifications of the aorta are seen.",
        ),
        ("Views of the chest show the heart to be enlarged.", "The heart is enlarged."),
    ],
    "no remnant of a comparison": [
        ("Calcified granuloma unchanged from prior.", "Calcified granuloma."),
        ("Mild cardiomegaly, unchanged since previous.", "Mild cardiomegaly."),
        ("Edema is less prominent than on prior study.", "Edema."),
        ("Small effusion, similar in size to the prior examination.", "Small effusion."),
        ("There is an enlarged heart with no comparison studies.", "There is an enlarged heart."),
        ("Mild edema with no prior comparison available.", "Mild edema."),
        ("Large hiatal hernia, increased from prior exam.", "Large hiatal hernia."),
        ("Left effusion, grossly stable.", "Left effusion."),
        ("Grossly stable cardiomegaly.", "Cardiomegaly."),
        ("Increased size of right pneumothorax.", "Right pneumothorax."),
        ("There is redemonstration without significant change of a right mass.", "A right mass."),
        ("Comparison to the XXXX from that exam shows this nodule to have grown.", ""),
        ("No pneumothorax or significant interval change.", "No pneumothorax."),
        ("No acute disease or interval change.", "No acute disease."),
    ],
    "conjunctions and slashes join two things": [
        (
            "Stable/normal mediastinal contour and tortuous aorta.",
            "Normal mediastinal contour and tortuous aorta.",
        ),
        ("Clear lungs and stable/unremarkable aorta.", "Clear lungs and unremarkable aorta."),
        ("Normal and stable aortic contour.", "Normal aortic contour."),
        ("Persistent and bilateral nodules.", "Bilateral nodules."),
        ("Essentially resolved left atelectasis, no XXXX edema.", "No edema or left atelectasis."),
    ],
    "a region alone says nothing": [
        ("Mild cardiomegaly, stable mediastinal contours.", "Mild cardiomegaly."),
        ("Left pleural effusion and unchanged heart size.", "Left pleural effusion."),
        ("Stable heart size, tortuous aorta.", "Tortuous aorta."),
        ("Mild edema, mediastinal contours are unchanged.", "Mild edema."),
        ("Stable appearance of the left chest tube.", "Left chest tube."),
        ("Stable appearance of the chest with small hiatal hernia.", "Small hiatal hernia."),
        ("Unchanged appearance of the chest without edema.", "No edema."),
        ("Overall stable appearance of the chest suggesting fibrosis.", ""),
        ("Improved aeration of the left base with small residual effusion.", "Small effusion."),
        ("Improved aeration of the right lung.", ""),
        ("Lung volumes have improved.", ""),
        ("Given differences in rotation, the heart size is unchanged.", ""),
    ],
    "what is current stays": [
        ("Lung volumes are decreased.", "Lung volumes are decreased."),
        ("There are diminished lung volumes.", "There are diminished lung volumes."),
        (
            "Opacity in the left base compatible with pneumonia in the right clinical context.",
            "Opacity in the left base compatible with pneumonia.",
        ),
        (
            "Left base opacity, concerning for pneumonia, given history.",
            "Left base opacity, concerning for pneumonia.",
        ),
        ("Right rib fracture, as clinically indicated.", "Right rib fracture."),
        (
            "Radiographic worsening due to greater extension of the left consolidation.",
            "Left consolidation.",
        ),
        ("Elevated diaphragm without surgery, without effusion or edema.", "No effusion or edema."),
    ],
    "marks": [
        ("XXXX onset left lower lobe consolidation.", "Left lower lobe consolidation."),
        (
            "Patchy and XXXX airspace opacities in the left base.",
            "Patchy airspace opacities in the left base.",
        ),
        ("Mild XXXX atelectasis in the left base.", "Mild atelectasis in the left base."),
        ("Left basilar opacity XXXX representing atelectasis.", "Left basilar opacity."),
        ("Nodular opacity in the right base XXXX represents an artifact.", ""),
        ("Blunting of the left costophrenic XXXX, which may represent a small effusion.", ""),
        ("Blunting of the left costophrenic XXXX, unchanged.", ""),
        ("Minimal opacity XXXX, consistent with a small effusion.", ""),
        ("Right base nodule would benefit from a XXXX.", ""),
        ("Pneumonia is possible, however given the XXXX, less likely.", "Pneumonia is possible."),
        (
            "Mediastinal adenopathy compatible with patient's known lymphoma.",
            "Mediastinal adenopathy.",
        ),
    ],
    "histories and conditions": [
        (
            "During the hospital stay, the mass spread to the left lung and started to grow.",
            "",
        ),
        ("If untreated, the image may progress to edema in 2 or 3 days.", ""),
        (
            "Correlation with old images would be helpful to identify the prior nodule.",
            "",
        ),
        ("Please note that small fractures may be missed.", ""),
    ],
}  # 79


@pytest.mark.parametrize(
    ("report", "expected"),
    [case for cases in KINDS.values() for case in cases],
    ids=[f"{kind}: {case[0]}" for kind, cases in KINDS.items() for case in cases],
)
def test_fragments_of_sentences(report: str, expected: str):
    assert clean(report) == expected
    assert clean(expected) == expected
    assert is_stated_by(extract(expected), extract(report))


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("Nodule not seen on 's image.", "Nodule not seen on today's image."),
        ("May represent edema.", "XXXX, may represent edema."),
        ("Mild cardiomegaly and no.", "Mild cardiomegaly and no XXXX."),
        ("The and the aorta.", "The heart and the aorta."),
        ("Effusion is from the prior.", "Effusion is unchanged from the prior."),
        ("Heart size and contours.", "Heart size and contours are unchanged."),
        ("Blunting of the left costophrenic.", "Blunting of the left costophrenic XXXX."),
        ("/normal aorta.", "Stable/normal aorta."),
    ],
)
def test_is_fragment(part: str, whole: str):
    assert is_fragment(part, whole)
    assert is_bare(part) or not is_fragment(part, part)  # what its writer wrote is none


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("Effusion.", "Small left effusion.", True),
        ("Left effusion.", "Effusion.", False),
        ("Effusion.", "No effusion.", False),
        ("Pneumonia.", "Possible pneumonia.", False),
        ("No effusion.", "No left effusion.", False),
        ("No left effusion.", "No left effusion or edema.", True),
        ("", "Edema.", True),
    ],
)
def test_part_is_stated_by_whole(part: str, whole: str, expected: bool):
    assert is_stated_by(extract(part), extract(whole)) is expected


def test_otherwise_and_its_exception():
    text = "Consolidation in the XXXX lobe. The lungs are otherwise clear. Tortuous aorta."
    assert is_stated_by(extract(clean(text)), extract(text))
    assert clean("Mild edema. The lungs are otherwise clear.").endswith("otherwise clear.")


OPENINGS = [
    "", "The ", "There is ", "There are ", "Stable ", "Compared to XXXX, there is ", "No ",
    "Interval development of ", "Chest image shows ", "XXXX ", "Possible ", "In the interval, ",
]  # fmt: skip
FINDINGS = [
    "small left effusion", "effusions", "edema", "opacity in the right base", "nodule",
    "left PICC", "mediastinal contours", "heart size", "XXXX atelectasis", "tortuous aorta",
    "pneumothorax",
]  # fmt: skip
JOINTS = [
    " and ", ", ", " with ", " without ", ", no ", " or ", ", which may represent ", ", XXXX ",
    " versus ", " compatible with ", ", however ", "/",
]  # fmt: skip
ENDS = [
    "", " is unchanged", " has increased since the prior examinations", " has resolved",
    " on today's study", ", stable from prior", ", given history", " XXXX represents scarring",
    " was seen on 3/4/2019", ", better seen on CT", " are stable and normal", " appears larger",
    " in the XXXX lobe",
]  # fmt: skip
SENTENCES = st.builds(
    lambda opening, first, rest, end: finished(
        opening + first + "".join(joint + other for joint, other in rest) + end
    ),
    st.sampled_from(OPENINGS),
    st.sampled_from(FINDINGS),
    st.lists(st.tuples(st.sampled_from(JOINTS), st.sampled_from(FINDINGS)), max_size=3),
    st.sampled_from(ENDS),
)


@given(st.lists(SENTENCES | st.just("The lungs are otherwise clear."), max_size=4))
@example(["Small left effusion without edema, pneumothorax is unchanged."])
@example(["XXXX opacity in the right base.", "The lungs are otherwise clear."])
def test_cleaned_report_states_its_statements(parts: list[str]):
    report = " ".join(parts)
    cleaned = clean(report)
    assert is_stated_by(extract(cleaned), extract(report))
    assert clean(cleaned) == cleaned
