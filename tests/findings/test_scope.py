"""How far a denial or a doubt reaches, over commas, slashes and "but", and what it is about."""

from __future__ import annotations

import pytest

from pairaug.findings import FINDINGS, extract

_RANK = {"absent": 1, "uncertain": 2, "present": 3}
_SIGNS = {"+": "present", "-": "absent", "?": "uncertain"}


def said(text: str) -> dict[str, str]:
    """Finding → the strongest that `text` says of it."""
    strongest: dict[str, str] = {}
    for statement in sorted(extract(text), key=lambda s: _RANK[s.presence]):
        strongest[statement.finding] = statement.presence
    return strongest


def wanted(line: str) -> dict[str, str | None]:
    """ "+edema -effusion 0mass" as finding → presence; 0 for what is not spoken of."""
    return {_finding(word[1:]): _SIGNS.get(word[0]) for word in line.split()}


def _finding(word: str) -> str:
    names = {"device": "support devices", "mediastinum": "enlarged cardiomediastinum"}
    return names.get(word) or next(name for name in FINDINGS[1:] if word in name)


# kind → (sentence, what it says)
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "a list that is denied": (
        ("No effusion or pneumothorax.", "-effusion -pneumothorax"),
        ("No effusion, pneumothorax, or edema.", "-effusion -pneumothorax -edema"),
        ("No effusion/pneumothorax.", "-effusion -pneumothorax"),
        ("No effusion and/or pneumothorax.", "-effusion -pneumothorax"),
        ("No effusion nor pneumothorax.", "-effusion -pneumothorax"),
        ("Neither effusion nor pneumothorax.", "-effusion -pneumothorax"),
        ("No edema, large effusion/pneumothorax.", "-edema -effusion -pneumothorax"),
        (
            "No consolidation, large pneumothorax/effusion.",
            "-consolidation -effusion -pneumothorax",
        ),
        ("No edema, effusion/pneumothorax or mass.", "-edema -effusion -pneumothorax -lesion"),
        ("No edema, large effusion, or pneumothorax.", "-edema -effusion -pneumothorax"),
        ("Without edema, consolidation or effusion.", "-edema -consolidation -effusion"),
        ("Negative for edema, effusion, or fracture.", "-edema -effusion -fracture"),
        ("Lungs clear of edema and consolidation.", "-edema -consolidation"),
        ("Effusion and edema have resolved.", "-effusion -edema"),
        ("The effusion, edema and atelectasis have cleared.", "-effusion -edema -atelectasis"),
        ("Effusion or pneumothorax is not seen.", "-effusion -pneumothorax"),
        ("No edema. No effusion.", "-edema -effusion"),
        ("No large or small effusion.", "-effusion"),
        ("No right or left effusion.", "-effusion"),
        ("No left and right effusions.", "-effusion"),
    ),
    "a denial that ends": (
        ("No pneumothorax, small left effusion.", "-pneumothorax +effusion"),
        ("No pneumothorax, stable cardiomegaly.", "-pneumothorax +cardiomegaly"),
        ("No pneumothorax, persistent atelectasis.", "-pneumothorax +atelectasis"),
        ("No pneumothorax, the effusion is smaller.", "-pneumothorax +effusion"),
        ("No pneumothorax and a small effusion.", "-pneumothorax +effusion"),
        ("No pneumothorax; effusion.", "-pneumothorax +effusion"),
        ("No pneumothorax but effusion.", "-pneumothorax +effusion"),
        ("No pneumothorax; however, effusion persists.", "-pneumothorax +effusion"),
        ("No pneumothorax although there is an effusion.", "-pneumothorax +effusion"),
        ("No pneumothorax, effusion persists.", "-pneumothorax +effusion"),
        ("No pneumothorax and cardiomegaly is unchanged.", "-pneumothorax +cardiomegaly"),
        ("No pneumothorax, and the mediastinum is widened.", "-pneumothorax +mediastinum"),
        ("No pneumothorax with stable cardiomegaly.", "-pneumothorax +cardiomegaly"),
        ("Cardiomegaly but no edema.", "+cardiomegaly -edema"),
        ("Cardiomegaly without edema.", "+cardiomegaly -edema"),
        ("Cardiomegaly with no edema, small effusion.", "+cardiomegaly -edema +effusion"),
        ("Effusion, no pneumothorax.", "+effusion -pneumothorax"),
        (
            "Effusion without pneumothorax and with atelectasis.",
            "+effusion -pneumothorax +atelectasis",
        ),
        ("The effusion is not small, atelectasis is seen.", "+effusion +atelectasis"),
        ("Edema has resolved, effusion persists.", "-edema +effusion"),
        ("Edema has resolved but effusion persists.", "-edema +effusion"),
        ("Effusion has improved and edema has resolved.", "+effusion -edema"),
        ("The effusion has resolved with persistent atelectasis.", "-effusion +atelectasis"),
        ("Cardiomegaly with resolved effusion.", "+cardiomegaly -effusion"),
        ("No hernia, small left effusion.", "+effusion"),
        ("No hernia, large effusion/pneumothorax.", "-effusion -pneumothorax"),
        ("No change in the left effusion or right atelectasis.", "+effusion +atelectasis"),
        ("Opacity not seen on the previous exam.", "+opacity"),
        ("Nodule on the frontal view, not seen on the lateral view.", "+lesion"),
        ("Suggestive of artifact, healed rib fracture.", "+fracture"),
        ("Resolution of the effusion.", "-effusion"),
        ("Shadow of the skin mimicking a pneumothorax.", "-pneumothorax"),
    ),
    "exceptions": (
        ("No abnormality except a small effusion.", "+effusion"),
        ("No abnormality except for a small effusion.", "+effusion"),
        ("No abnormality other than effusion.", "+effusion"),
        ("No abnormality apart from effusion.", "+effusion"),
        ("No abnormality aside from mild cardiomegaly.", "+cardiomegaly"),
        ("No abnormality with the exception of an effusion.", "+effusion"),
        ("No edema, with the exception of effusion.", "-edema +effusion"),
        ("Lungs are clear except for left atelectasis.", "+atelectasis -edema"),
        ("Lungs are clear with the exception of atelectasis.", "+atelectasis -edema"),
        ("Clear lungs, save for atelectasis.", "+atelectasis"),
        ("Unremarkable besides cardiomegaly.", "+cardiomegaly"),
    ),
    "two sides, one of them denied": (
        ("No left but a small right effusion.", "+effusion"),
        ("No left, but a small right effusion.", "+effusion"),
        ("No left and only a small right effusion.", "+effusion"),
        ("No effusion on the left, but a small one on the right.", "+effusion"),
        ("No left effusion, but a tiny right one.", "+effusion"),
        ("No left effusion; small right effusion.", "+effusion"),
        ("Trace left and no right effusion.", "+effusion"),
        ("Small right but no left effusion.", "+effusion"),
        ("No right and small left effusion.", "+effusion"),
        ("Effusions have decreased on the right and resolved on the left.", "+effusion"),
        ("No more than a minimal effusion.", "?effusion"),
        ("Small left effusion, none on the right.", "+effusion"),
        ("No left effusion, small right effusion.", "+effusion"),
    ),
    "alternatives": (
        ("Collapse and/or consolidation.", "?atelectasis ?consolidation"),
        ("Atelectasis and/or pneumonia.", "?atelectasis ?pneumonia"),
        ("Atelectasis or pneumonia.", "?atelectasis ?pneumonia"),
        ("Atelectasis/pneumonia.", "?atelectasis ?pneumonia"),
        ("Collapse/consolidation at the left base.", "?atelectasis ?consolidation"),
        ("Atelectasis, pneumonia, or edema.", "?atelectasis ?pneumonia ?edema"),
        ("Atelectasis vs pneumonia.", "?atelectasis ?pneumonia"),
        ("Cardiomegaly, atelectasis or pneumonia.", "+cardiomegaly ?atelectasis ?pneumonia"),
        ("Opacity may be atelectasis or pneumonia.", "+opacity ?atelectasis ?pneumonia"),
        ("Opacity: atelectasis versus pneumonia.", "+opacity ?atelectasis ?pneumonia"),
        ("Effusion and atelectasis.", "+effusion +atelectasis"),
        ("Effusion/edema.", "+effusion +edema"),
    ),
    "doubts and their reach": (
        ("Possible pneumonia and effusion.", "?pneumonia ?effusion"),
        ("Possible pneumonia and a small effusion.", "?pneumonia +effusion"),
        ("Possible pneumonia, small effusion.", "?pneumonia +effusion"),
        ("Possible pneumonia with small effusion.", "?pneumonia +effusion"),
        ("Possible pneumonia but no effusion.", "?pneumonia -effusion"),
        ("Possible atelectasis/pneumonia.", "?atelectasis ?pneumonia"),
        ("No effusion, possible pneumonia.", "-effusion ?pneumonia"),
        ("Effusion, possible pneumonia.", "+effusion ?pneumonia"),
        ("Effusion likely with atelectasis.", "+effusion ?atelectasis"),
        ("Opacity likely atelectasis.", "+opacity ?atelectasis"),
        ("Opacity likely represents pneumonia.", "+opacity ?pneumonia"),
        ("Opacity which may be pneumonia.", "+opacity ?pneumonia"),
        ("Opacity, suspicious for pneumonia.", "+opacity ?pneumonia"),
        ("Opacity could be pneumonia, less likely edema.", "+opacity ?pneumonia ?edema"),
        ("Opacity, atelectasis favored over pneumonia.", "+opacity ?pneumonia"),
        ("Pneumonia is possible and effusion is present.", "?pneumonia +effusion"),
        ("A small effusion is likely, with cardiomegaly.", "?effusion +cardiomegaly"),
        ("No edema is seen but pneumonia is possible.", "-edema ?pneumonia"),
        ("No edema, pneumonia is possible.", "-edema ?pneumonia"),
        ("Neither edema nor pneumonia can be excluded.", "?edema ?pneumonia"),
        ("No opacity to suggest pneumonia.", "-opacity -pneumonia"),
        ("No opacity suspicious for pneumonia.", "-opacity -pneumonia"),
        ("The heart may be enlarged.", "?cardiomegaly"),
        ("The heart is probably enlarged.", "?cardiomegaly"),
        (
            "Differential includes edema, pneumonia and atelectasis.",
            "?edema ?pneumonia ?atelectasis",
        ),
    ),
    "normal or not": (
        ("The heart is at the upper limits of normal or mildly enlarged.", "?cardiomegaly"),
        ("Heart size is normal to mildly enlarged.", "?cardiomegaly"),
        ("Heart size is normal or slightly enlarged.", "?cardiomegaly"),
        ("Heart size is top normal to mildly enlarged.", "?cardiomegaly"),
        ("Heart size is borderline or mildly enlarged.", "?cardiomegaly"),
        ("Heart size is borderline to mildly enlarged.", "?cardiomegaly"),
        ("Heart is mildly enlarged or at the upper limits of normal.", "?cardiomegaly"),
        ("Normal to mildly enlarged heart.", "?cardiomegaly"),
        ("Borderline enlarged heart.", "?cardiomegaly"),
        ("Borderline cardiomegaly.", "?cardiomegaly"),
        ("The mediastinum is normal or slightly widened.", "?mediastinum"),
        ("The heart is at the upper limits of normal.", "-cardiomegaly"),
        ("The heart is top normal.", "-cardiomegaly"),
        ("Vascular engorgement within normal limits.", "-edema"),
        ("Vascular engorgement is within normal limits.", "-edema"),
        ("Pleural fluid is within physiologic limits.", "-effusion"),
        ("Vascular engorgement, within normal limits.", "-edema"),
        ("The vasculature is engorged but within normal limits.", "-edema"),
        ("The heart is prominent but within normal limits.", "-cardiomegaly"),
        ("Effusion with heart within normal limits.", "+effusion -cardiomegaly"),
        ("Effusion, heart size within normal limits.", "+effusion -cardiomegaly"),
        ("The heart is enlarged and the lungs are clear.", "+cardiomegaly -opacity"),
    ),
    "devices that are moved or taken out": (
        ("PICC has been withdrawn by 1 cm.", "+device"),
        ("The PICC was withdrawn 2 cm.", "+device"),
        ("The ET tube has been slightly withdrawn.", "+device"),
        ("Endotracheal tube has been withdrawn slightly.", "+device"),
        ("ETT withdrawn to 4 cm above the carina.", "+device"),
        ("The PICC has been withdrawn and its tip is in the SVC.", "+device"),
        ("The line has been pulled back; central line in the SVC.", "+device"),
        ("The nasogastric tube has been advanced.", "+device"),
        ("The PICC has been repositioned.", "+device"),
        ("The NG tube has been withdrawn and replaced.", "+device"),
        ("The chest tube has been exchanged.", "+device"),
        ("Interval retraction of the PICC.", "+device"),
        ("The ET tube should be withdrawn by 2 cm.", "+device"),
        ("The chest tube can be removed.", "+device"),
        ("The chest tube has not been removed.", "+device"),
        ("Consider removal of the PICC.", "+device"),
        ("The NG tube tip is not seen.", "+device"),
        ("ET tube with tip not well seen.", "+device"),
        ("Status post pacemaker placement.", "+device"),
        ("No edema status post pacemaker placement.", "-edema +device"),
        ("The feeding tube was removed and replaced.", "+device"),
        ("Swan-Ganz has been pulled back.", "+device"),
        ("The chest tube has been removed.", "-device"),
        ("Chest tube removed.", "-device"),
        ("The PICC has been withdrawn.", "-device"),
        ("Interval removal of the PICC.", "-device"),
        ("Removal of chest tube and NG tube.", "-device"),
        ("Small pneumothorax after chest tube removal.", "+pneumothorax -device"),
        ("The ET tube and NG tube have been removed.", "-device"),
        ("The patient has been extubated.", "-device"),
        ("The ET tube is no longer seen.", "-device"),
        ("Interval removal of the PICC, small effusion.", "-device +effusion"),
    ),
    "names": (
        ("Pleural air collection on the left.", "+pneumothorax 0effusion"),
        ("Pleural air.", "+pneumothorax"),
        ("Intrapleural air.", "+pneumothorax"),
        ("Air in the pleural space.", "+pneumothorax"),
        ("Pleural fluid collection.", "+effusion"),
        ("Fluid in the pleural space.", "+effusion"),
        ("Air collection in the left pleural space.", "+pneumothorax"),
        ("Large heart.", "+cardiomegaly"),
        ("Pleural disease.", "+other"),
        ("Chronic pleural disease at the right base.", "+other"),
        ("No pleural disease.", "-other"),
        ("Hydropneumothorax.", "+pneumothorax +effusion"),
        ("No hydropneumothorax.", "-pneumothorax -effusion"),
    ),
    "views that are limited": (
        ("The left base is difficult to assess because of an effusion.", "+effusion"),
        ("Evaluation for pneumothorax is limited by subcutaneous emphysema.", "0pneumothorax"),
        ("Nodule better seen on CT, effusion unchanged.", "?lesion +effusion"),
        ("Effusion is better seen on the lateral view.", "+effusion"),
        ("Effusion is better seen than before.", "+effusion"),
        ("Small effusion; pneumothorax would be hard to see.", "+effusion ?pneumothorax"),
    ),
}
CASES = [case for kind in KINDS.values() for case in kind]


@pytest.mark.parametrize(("text", "line"), CASES, ids=[text for text, _ in CASES])
def test_trigger_scope(text: str, line: str):
    found = said(text)
    expected = wanted(line)
    assert {name: found.get(name) for name in expected} == expected


SIDES = [
    ("No left but a small right effusion.", "right"),
    ("No left, but a small right effusion.", "right"),
    ("No left and only a small right effusion.", "right"),
    ("No right pneumothorax, but a small left one.", "left"),
    ("No effusion on the left, but a small one on the right.", "right"),
    ("No left effusion, small right effusion.", "right"),
    ("On the left, there is a small effusion.", "left"),
    ("Small left and no right effusion.", "left"),
    ("Small left effusion, none on the right.", "left"),
    ("A small effusion is present on the left.", "left"),
]


@pytest.mark.parametrize(("text", "side"), SIDES)
def test_side_of_the_stated_finding(text: str, side: str):
    assert [s.side for s in extract(text) if s.presence == "present"] == [side]


@pytest.mark.parametrize(
    ("text", "finding", "presence"),
    [
        ("Neither lung shows consolidation.", "consolidation", "absent"),
        ("Neither side has an effusion.", "pleural effusion", "absent"),
        ("No longer any edema.", "edema", "absent"),
        ("It is doubtful that there is an effusion.", "pleural effusion", "uncertain"),
        ("Pneumonia is considered unlikely but cannot be excluded.", "pneumonia", "uncertain"),
        ("Collapsed left lung.", "atelectasis", "present"),
        ("Vertebral body collapse.", "fracture", "present"),
        ("Vertebral body collapse.", "atelectasis", None),
    ],
)
def test_denials_of_both_sides_doubts_and_collapses(
    text: str, finding: str, presence: str | None
) -> None:
    found = {each.finding: each.presence for each in extract(text)}
    assert found.get(finding) == presence
