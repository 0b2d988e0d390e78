"""Reports that are not prose: headings, lists, lines, markup, and parts not of the image."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.findings import Statement, extract, labels_of

EFFUSION = {"pleural effusion": True}
ENLARGED = EFFUSION | {"cardiomegaly": True}
KINDS: dict[str, tuple[tuple[str, dict[str, bool | None]], ...]] = {
    "headings of organs": (
        ("LUNGS: Small left effusion.", EFFUSION),
        ("LUNGS: Small left effusion.\nHEART: Enlarged.", ENLARGED),
        ("Lungs: clear\nHeart: enlarged\nPleura: small effusion", ENLARGED | {"edema": False}),
        ("Lungs: clear Heart: enlarged Pleura: small effusion", ENLARGED | {"edema": False}),
        ("LUNGS/PLEURA: Effusion. HEART/MEDIASTINUM: Enlarged.", ENLARGED),
        ("Heart - enlarged\nPleura - small effusion", ENLARGED),
        ("HEART: Normal. PLEURA: No effusion.", {"pleural effusion": False, "cardiomegaly": False}),
    ),
    "headings of findings": (
        ("Effusion: none\nPneumothorax: none", {"pleural effusion": False, "pneumothorax": False}),
        ("Effusion: small\nPneumothorax: none", EFFUSION | {"pneumothorax": False}),
        ("Effusion: present. Edema: absent.", EFFUSION | {"edema": False}),
        ("Effusion: no. Edema: yes.", {"pleural effusion": False, "edema": True}),
        ("Consolidation - No\nEffusion - Yes", EFFUSION | {"consolidation": False}),
        ("Edema: indeterminate. Effusion: small.", EFFUSION | {"edema": None}),
        ("Edema:\nNone.\nEffusion:\nSmall.", EFFUSION | {"edema": False}),
        ("Support devices: None.", {"support devices": False}),
        ("Pneumothorax: possible", {"pneumothorax": None}),
        ("| Effusion | small |\n| Edema | none |", EFFUSION | {"edema": False}),
        ("Pneumothorax: not seen. Effusion: small, left.", EFFUSION | {"pneumothorax": False}),
    ),
    "markdown and markup": (
        ("# Findings\n\n- Small **effusion**\n- Heart *enlarged*", ENLARGED),
        ("## Lungs\nClear.\n## Pleura\nSmall effusion.", EFFUSION),
        ("**Pleura:** small effusion. **Heart:** enlarged.", ENLARGED),
        ("**No** pleural **effusion**.", {"pleural effusion": False}),
        ("No _effusion_ or `pneumothorax`.", {"pleural effusion": False, "pneumothorax": False}),
        ("Small effusion<br>Heart enlarged", ENLARGED),
        ("* No edema\n* Effusion\n* No mass", EFFUSION | {"edema": False, "lung lesion": False}),
    ),
    "lists": (
        ("1. Effusion\n2. No edema", EFFUSION | {"edema": False}),
        ("1) Effusion 2) No edema", EFFUSION | {"edema": False}),
        ("1. No edema 2. Effusion 3. Enlarged heart", ENLARGED | {"edema": False}),
        ("(1) No edema (2) Effusion", EFFUSION | {"edema": False}),
        ("1 - No edema\n2 - Effusion", EFFUSION | {"edema": False}),
        ("1: No edema\n2: Effusion", EFFUSION | {"edema": False}),
        ("> No edema\n> Effusion", EFFUSION | {"edema": False}),
        ("→ No edema\n→ Effusion", EFFUSION | {"edema": False}),
        ("a) No edema\nb) Effusion", EFFUSION | {"edema": False}),
        ("i. No edema\nii. Effusion", EFFUSION | {"edema": False}),
        ("- No edema\n- Effusion", EFFUSION | {"edema": False}),
        ("• No edema\n• Effusion", EFFUSION | {"edema": False}),
        ("– no edema\n– effusion", EFFUSION | {"edema": False}),
        ("1. No edema\r\n2. Effusion", EFFUSION | {"edema": False}),
    ),
    "lines": (
        ("No edema\nSmall effusion\nHeart enlarged", ENLARGED | {"edema": False}),
        ("No edema\nEffusion on the left", EFFUSION | {"edema": False}),
        ("small effusion\nno edema\nheart enlarged", ENLARGED | {"edema": False}),
        ("SMALL EFFUSION\nNO EDEMA\nHEART ENLARGED", ENLARGED | {"edema": False}),
        ("No edema\r\nSmall effusion", EFFUSION | {"edema": False}),
        ("No edema or\neffusion.", {"pleural effusion": False, "edema": False}),
        ("No left\neffusion.", {"pleural effusion": False}),
        ("There is no evidence of\nSmall or large effusion.", {"pleural effusion": False}),
        ("No edema,\nEffusion or mass.", {"pleural effusion": False, "edema": False}),
        ("THERE IS NO\nEFFUSION OR EDEMA.", {"pleural effusion": False, "edema": False}),
        ("No consolidation, edema, pneumothorax\nor effusion.", {"pleural effusion": False}),
    ),
    "parts that are not of the image": (
        ("INDICATION: Pneumonia.\nFINDINGS: Effusion.", EFFUSION | {"pneumonia": None}),
        ("INDICATION: Fever. Pneumonia.\nFINDINGS: Effusion.", EFFUSION | {"pneumonia": None}),
        ("Indication: pneumonia\nEffusion.", EFFUSION | {"pneumonia": None}),
        ("INDICATION\nPneumonia\nFINDINGS\nEffusion", EFFUSION | {"pneumonia": None}),
        ("Clinical history: edema. Findings: Effusion.", EFFUSION | {"edema": None}),
        ("REASON FOR EXAM: pneumonia?\n\nIMPRESSION: Effusion.", EFFUSION | {"pneumonia": None}),
        ("Comparison: CT with edema. Impression: Effusion.", EFFUSION | {"edema": None}),
        ("HISTORY: Edema. COMPARISON: None. FINDINGS: Effusion.", EFFUSION | {"edema": None}),
        ("**Indication:** edema\n\n**Findings:** effusion", EFFUSION | {"edema": None}),
        ("60 year old man with edema. Effusion.", EFFUSION | {"edema": None}),
        ("___ year old woman with edema. Effusion.", EFFUSION | {"edema": None}),
        ("INDICATION: Edema TECHNIQUE: PA FINDINGS: Effusion.", EFFUSION | {"edema": None}),
        ("FINDINGS: Effusion.\nHISTORY: Edema.", EFFUSION | {"edema": None}),
    ),
}  # fmt: skip
CASES = [case for kind in KINDS.values() for case in kind]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_structure_is_read(text: str, expected: dict[str, bool | None]):
    labels = labels_of(extract(text))
    assert {name: labels[name] for name in expected} == expected


SENTENCES = (
    "Small left effusion.",
    "No pneumothorax or edema.",
    "The heart is mildly enlarged.",
    "Possible pneumonia at the right base.",
    "A pneumothorax cannot be totally excluded.",
    "Left basilar atelectasis and/or consolidation.",
    "The right effusion has resolved.",
    "No change in the right lower lobe opacity.",
    "PICC has been withdrawn by 1 cm.",
    "Heart size is normal to mildly enlarged.",
    "No left but a small right effusion.",
    "Evaluate for pneumonia.",
    "There is no nodule, large effusion/pneumothorax.",
)
SOME = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6, unique=True)


def _meant(statements: list[Statement]) -> list[tuple[object, ...]]:
    """The statements without where they stand in the text."""
    return [(s.finding, s.presence, s.side, s.severity, s.zone, s.detail) for s in statements]


@given(SOME)
def test_case_does_not_matter(sentences: list[str]):
    text = " ".join(sentences)
    meant = _meant(extract(text))
    assert _meant(extract(text.upper())) == meant
    assert _meant(extract(text.lower())) == meant


@given(SOME)
def test_each_sentence_is_read_by_itself(sentences: list[str]):
    apart = [meant for sentence in sentences for meant in _meant(extract(sentence))]
    assert _meant(extract(" ".join(sentences))) == apart


@given(SOME, st.randoms(use_true_random=False))
def test_the_order_of_sentences_does_not_matter(sentences: list[str], order: random.Random):
    shuffled = sentences.copy()
    order.shuffle(shuffled)
    assert labels_of(extract(" ".join(shuffled))) == labels_of(extract(" ".join(sentences)))


@given(SOME, st.sampled_from(["The patient is rotated.", "Dr. Who was informed.", "Thank you."]))
def test_an_unrelated_sentence_changes_nothing(sentences: list[str], unrelated: str):
    text = " ".join(sentences)
    assert extract(f"{text} {unrelated}") == extract(text)
    assert _meant(extract(f"{unrelated} {text}")) == _meant(extract(text))


@given(SOME, st.sampled_from(["- {}", "* {}", "• {}", "{n}. {}", "{n}) {}", "{}"]), st.booleans())
def test_list_equals_sentences(sentences: list[str], item: str, has_points: bool):
    items = sentences if has_points else [sentence.removesuffix(".") for sentence in sentences]
    lines = [item.format(text, n=number) for number, text in enumerate(items, 1)]
    assert _meant(extract("\n".join(lines))) == _meant(extract(" ".join(sentences)))


@given(SOME, st.integers(20, 60))
def test_wrapped_lines_equal_one_line(sentences: list[str], width: int):
    """Where lines end with a comma or a little word, as they mostly do in wrapped text."""
    words = " ".join(sentences).split()
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) >= width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    text = "\n".join([*lines, line])
    assert _meant(extract(text)) == _meant(extract(" ".join(sentences)))


@given(st.text(alphabet="?/-:;,.()|*_#\n\r <>0123ab eno", max_size=60), SOME)
def test_any_marks_are_read(marks: str, sentences: list[str]):
    text = marks.join(sentences)
    for statement in extract(text):
        assert 0 <= statement.start < statement.end <= len(text)
