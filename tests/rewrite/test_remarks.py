"""Edits by rules leave no sentence that refers to a removed one, and are proper English."""

from __future__ import annotations

from random import Random

import pytest

from pairaug.rewrite.rules.edits import appear, resolve
from pairaug.rewrite.rules.grading import grade
from pairaug.rewrite.rules.intra import change_report
from pairaug.rewrite.rules.kinds import KINDS, Described
from pairaug.rewrite.topics import Topic

SHADOW, HEART = Topic("consolidation"), Topic("cardiomegaly")


@pytest.mark.parametrize(
    ("sentences", "left"),
    [
        (["Left base opacity.", "This may represent atelectasis."],
         ["No left base opacity.", "Possible atelectasis."]),
        (["Right opacity.", "These findings are most concerning for pneumonia.", "Normal heart."],
         ["No right opacity.", "Normal heart."]),
        (["Right opacity.", "This appears chronic and may be due to scarring."],
         ["No right opacity.", "Possible scarring."]),
        (["Normal heart.", "This is a portable view."], None),
        (["Opacity in the left base.", "It would be difficult to exclude a nodule."],
         ["No opacity in the left base.", "It would be difficult to exclude a nodule."]),
        (["Opacity in the left base.", "The lungs are otherwise clear."],
         ["The lungs are clear."]),
        (["Opacity in the left base.", "Small effusion.", "The lungs are otherwise clear."],
         ["Small effusion.", "The lungs are otherwise clear."]),
        (["Otherwise, normal heart size.", "Left infiltrate."],
         ["Normal heart size.", "No left infiltrate."]),
    ],
)  # fmt: skip
def test_remarks_are_removed_with_their_sentence(
    sentences: list[str], left: list[str] | None
) -> None:
    assert resolve(sentences, SHADOW) == left


@pytest.mark.parametrize(
    ("sentence", "graded"),
    [
        ("Enlarged cardiac contour.", "Severely enlarged cardiac contour."),
        ("Heart is large.", "Heart is severely enlarged."),
        ("Mildly enlarged cardiac shadow.", "Severely enlarged cardiac shadow."),
        ("Cardiomegaly.", "Severe cardiomegaly."),
    ],
)  # fmt: skip
def test_a_degree_before_a_participle_is_an_adverb(sentence: str, graded: str) -> None:
    assert grade([sentence], HEART, "severe") == [graded]


@pytest.mark.parametrize(
    "report",
    [
        "Small calcific densities in both lungs. No effusion.",
        "Opacity at the right apex, in keeping with scarring. The heart is normal in size.",
    ],
)
def test_calcified_shadows_and_scars_do_not_change(report: str) -> None:
    first = report.split(". ")[0]
    for seed in range(40):
        changed = change_report(report, Random(seed), 50)
        assert changed is not None
        assert first in changed.after


def test_a_normal_chest_stays_beside_a_device() -> None:
    pacemaker = Described(KINDS["pacemaker"], "left")
    words = "A left chest wall pacemaker is in place."
    sentences = ["Normal chest radiograph.", "Mild scoliosis."]
    assert appear(sentences, pacemaker, words, "left pacemaker") == [*sentences, words]
