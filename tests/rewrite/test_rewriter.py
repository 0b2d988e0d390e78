"""The stage: no pair disappears, every child is accepted or dropped with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pairaug.findings import extract, labels_of
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Reason, Rewrite, RewriteSettings
from pairaug.stage import RunContext

MakePair = Callable[..., Pair]
TEXTS = [
    "Small left pleural effusion. Mild cardiomegaly.",
    "The lungs are clear. No pleural effusion or pneumothorax.",
    "Moderate pulmonary edema. Endotracheal tube in place.",
]


def rewritten(pairs: list[Pair], seed: int = 0, **settings: object) -> list[Pair]:
    stage = Rewrite(RewriteSettings.model_validate(settings), RunContext(seed=seed))
    return list(stage(pairs))


def test_children_follow_their_parent_and_carry_text_labels_and_trace(make_pair: MakePair):
    pairs = [make_pair(text, str(index)) for index, text in enumerate(TEXTS)]
    out = rewritten(pairs)
    assert [pair.id for pair in out] == [
        name
        for index in range(3)
        for name in (f"set/{index}", f"set/{index}~inter-0", f"set/{index}~intra-0")
    ]
    assert [pair for pair in out if pair.branch is Branch.REAL] == pairs
    for child in out:
        if child.branch is Branch.REAL:
            continue
        assert child.drop is None
        assert child.image is None
        assert child.labels == labels_of(extract(child.report.text))
        entries = child.trace["rewrite"]
        assert entries["backend"] == "rules"
        assert entries["attempts"] >= 1
        assert entries["num_words"] == len(child.report.text.split()) <= 50
        assert entries["changes"]
        assert isinstance(entries["seed"], int)
        assert child.report.text not in str(entries)
    inter, intra = out[1], out[2]
    assert inter.patient_id == "set/0~inter-0"
    assert inter.source_patient_id == intra.patient_id == "patient-0"


def test_children_do_not_depend_on_order_or_other_pairs(make_pair: MakePair):
    pairs = [make_pair(text, str(index)) for index, text in enumerate(TEXTS * 5)]
    once = {pair.id: pair for pair in rewritten(pairs)}
    assert {pair.id: pair for pair in rewritten(pairs[::-1])} == once
    assert {pair.id: pair for pair in rewritten(pairs[3:4])}.items() <= once.items()
    others = rewritten(pairs, seed=1)
    assert sum(once[pair.id].report != pair.report for pair in others) > 20


def test_equal_reports_get_different_texts(make_pair: MakePair):
    pairs = [make_pair(TEXTS[0], str(index)) for index in range(10)]
    texts = {p.report.text for p in rewritten(pairs, branches=["inter"]) if p.parent_id}
    assert len(texts) > 5


def test_variants_and_branches(make_pair: MakePair):
    out = rewritten([make_pair(TEXTS[0])], branches=["intra"], variants=3)
    assert [pair.id for pair in out] == ["set/a", *(f"set/a~intra-{k}" for k in range(3))]
    assert len({pair.report.text for pair in out}) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.EMPTY_REPORT),
        ("  \n", Reason.EMPTY_REPORT),
        ("Normal chest.", Reason.REPORT_TOO_SHORT),
    ],
)
def test_an_empty_or_short_report_is_dropped(make_pair: MakePair, text: str, reason: Reason):
    (out,) = rewritten([make_pair(text)])
    assert out.drop is not None
    assert (out.drop.stage, out.drop.reason) == ("rewrite", reason)


@pytest.mark.parametrize("text", ["The patient was seen on Monday.", "XXXX and XXXX are normal."])
def test_children_of_a_report_without_findings_are_dropped(make_pair: MakePair, text: str):
    real, *children = rewritten([make_pair(text)])
    assert real.drop is None
    assert [child.drop.reason for child in children if child.drop] == ["nothing_to_change"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "Kein Pleuraerguss. Kein Pneumothorax.",
        "Derrame pleural derecho.",
        "\u80f8\u6c34\u3092\u8a8d\u3081\u307e\u305b\u3093\u3002",
    ],
)
def test_reports_in_another_language_are_refused_one_by_one(make_pair: MakePair, text: str):
    real, *children, english = rewritten([make_pair(text), make_pair(TEXTS[0], "b")])[:4]
    assert real.drop is None
    assert [child.drop.reason for child in children if child.drop] == ["report_not_english"] * 2
    assert not any(label is not None for child in children for label in child.labels.values())
    assert english.drop is None
    everything = rewritten([make_pair(text), make_pair(TEXTS[0], "b")])
    assert [pair.drop for pair in everything[4:]] == [None, None]


def test_balanced_targets_count_english_reports_only(make_pair: MakePair):
    def weights(*texts: str) -> object:
        stage = Rewrite(RewriteSettings(targets="balanced"), RunContext(seed=0))
        stage.fit([make_pair(text, str(index)) for index, text in enumerate(texts)])
        return stage._targets and stage._targets.weights

    others = ["Kein Pneumothorax."] * 40
    assert weights(*[TEXTS[0]] * 3, *others) == weights(*[TEXTS[0]] * 3)


def test_other_pairs_pass_through(make_pair: MakePair):
    parent = make_pair(TEXTS[0])
    child = parent.child(
        "inter-9", branch=Branch.INTER, source_report=parent.report.text, report=Report("No edema.")
    )
    dropped = make_pair(TEXTS[1], "b").dropped("read", "unreadable_image")
    assert rewritten([child, dropped]) == [child, dropped]


def test_history_marks_and_length_are_removed_before_rewriting(make_pair: MakePair):
    text = (
        "HISTORY: quokka fever. COMPARISON: XXXX quokka. FINDINGS: A 61-year-old quokka keeper "
        "presented with cough. Stable cardiomegaly compared to XXXX exam. "
        + " ".join(f"There is a {size} left pleural effusion." for size in ("small", "trace") * 20)
        + " Right upper lobe consolidation. CT showed a quokka."
    )
    for pair in rewritten([make_pair(text)], variants=10)[1:]:
        assert pair.drop is None
        assert len(pair.report.text.split()) <= 50
        for word in ("quokka", "XXXX", "fever", "cough", "keeper", "table", "compared"):
            assert word not in pair.report.text


def test_progress_counts_real_pairs(make_pair: MakePair):
    counted: list[int] = []
    stage = Rewrite(RewriteSettings(), RunContext(seed=0, report_progress=counted.append))
    list(stage([make_pair(text, str(index)) for index, text in enumerate(TEXTS)]))
    assert sum(counted) == 3


def test_a_stream_closed_early_leaves_nothing_running(make_pair: MakePair):
    import threading

    stage = Rewrite(RewriteSettings(), RunContext(seed=0))
    stream = stage(make_pair(TEXTS[0], str(index)) for index in range(100))
    next(iter(stream))
    stream.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not [thread for thread in threading.enumerate() if thread.name == "pairaug-rewrite"]


def test_rules_have_no_weights():
    assert Rewrite.weights(RewriteSettings()) == {}
