"""Balanced targets: sampled by inverse frequency, named, checked, and repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pairaug.findings import extract
from pairaug.pair import Branch, Pair
from pairaug.rewrite import Reason, Rewrite, RewriteSettings
from pairaug.rewrite.check import check
from pairaug.rewrite.targets import Targets, count_stated
from pairaug.stage import RunContext
from support.chat import ChatServer, Reply

MakePair = Callable[..., Pair]
TEXTS = (
    ["Small left pleural effusion. No pneumothorax."] * 12
    + ["Mild cardiomegaly. No edema."] * 6
    + ["The lungs are clear. No acute fracture."] * 5
    + ["Right lower lobe consolidation."]
)


def pairs_of(make_pair: MakePair) -> list[Pair]:
    return [make_pair(text, str(index)) for index, text in enumerate(TEXTS)]


def targets_by_rules(pairs: list[Pair], parts: list[list[Pair]], seed: int = 0) -> dict:
    stage = Rewrite(RewriteSettings(targets="balanced"), RunContext(seed=seed))
    stage.fit(pairs)
    return {
        child.id: (child.trace["rewrite"]["target"], child.report.text, child.drop)
        for part in parts
        for child in stage(part)
        if child.parent_id
    }


def test_counts_are_reports_that_state_a_finding():
    reports = [extract(text) for text in ("Left effusion. Right effusion.", "No effusion. Edema.")]
    assert count_stated(reports) == (2, Counter({"pleural effusion": 1, "edema": 1}))


def test_rare_findings_are_sampled_more_often():
    targets = Targets(["edema", "fracture", "pneumothorax"], 1000, {"edema": 400, "fracture": 20})
    everything = frozenset(targets.weights)
    sampled = Counter(targets.sample(Branch.INTRA, (), seed, everything) for seed in range(4000))
    assert sampled["fracture"] / sampled["edema"] == pytest.approx(20, rel=0.4)
    # A finding without reports counts as if one report in a hundred stated it.
    assert sampled["pneumothorax"] / sampled["fracture"] == pytest.approx(2, rel=0.2)


def test_targets_of_new_patients_are_not_in_the_report():
    targets = Targets(["edema", "fracture"], 10, {})
    both = frozenset(targets.weights)
    stated = extract("Mild edema. No fracture.")
    assert {targets.sample(Branch.INTER, stated, seed, both) for seed in range(50)} == {"fracture"}
    assert len({targets.sample(Branch.INTRA, stated, seed, both) for seed in range(50)}) == 2
    assert targets.sample(Branch.INTER, stated, 0, frozenset({"edema"})) is None


def test_targets_do_not_depend_on_parts_or_order(make_pair: MakePair):
    pairs = pairs_of(make_pair)
    once = targets_by_rules(pairs, [pairs])
    assert targets_by_rules(pairs, [pairs[:5], pairs[5:]]) == once
    assert targets_by_rules(pairs[::-1], [pairs[::-1]]) == once
    resumed = targets_by_rules(pairs, [pairs[20:]])
    assert resumed.items() <= once.items()
    assert len({target for target, _, _ in once.values()}) >= 6
    assert once != targets_by_rules(pairs, [pairs], seed=1)


def test_the_rules_state_the_target(make_pair: MakePair):
    pairs = pairs_of(make_pair)
    made = targets_by_rules(pairs, [pairs])
    accepted = {name: rest for name, rest in made.items() if rest[2] is None}
    assert len(accepted) > 0.9 * len(made)
    for name, (target, text, _) in accepted.items():
        if "~inter" in name:
            assert any(s.finding == target and s.presence == "present" for s in extract(text)), name


def test_a_stage_that_was_not_fitted_is_an_error(make_pair: MakePair):
    stage = Rewrite(RewriteSettings(targets="balanced"), RunContext(seed=0))
    with pytest.raises(ValueError, match="call fit"):
        list(stage(pairs_of(make_pair)))


def test_free_targets_need_no_fit():
    Rewrite(RewriteSettings(), RunContext(seed=0)).fit(iter(lambda: 1 / 0, None))


CASES = [
    ("inter", "fracture", "No effusion. Left rib fracture.", None),
    ("inter", "fracture", "No effusion. Severe edema.", Reason.OFF_TARGET),
    ("intra", "pneumothorax", "Small left pleural effusion. Small right pneumothorax.", None),
    ("intra", "pleural effusion", "Large left pleural effusion. No pneumothorax.", None),
    ("intra", "edema", "Large left pleural effusion. No pneumothorax.", Reason.OFF_TARGET),
]


@pytest.mark.parametrize(("branch", "target", "answer", "reason"), CASES)
def test_an_answer_must_meet_its_target(
    branch: str, target: str, answer: str, reason: Reason | None
):
    stated = extract("Small left pleural effusion. No pneumothorax.")
    assert check(Branch(branch), stated, answer, 50, target).reason is reason


def test_the_target_is_in_the_prompt(rewrite, chat_server: ChatServer, make_pair: MakePair):
    chat_server.answer = lambda request, number: Reply("No effusion. Left rib fracture.")
    pair = make_pair("Small left pleural effusion. No pneumothorax.")
    (inter,) = rewrite([pair], branches=["inter"], targets="balanced", target_findings=["fracture"])
    assert (
        "This other patient has a fracture." in (chat_server.requests[0]["messages"][0]["content"])
    )
    assert inter.drop is None
    assert inter.trace["rewrite"]["target"] == "fracture"


def test_an_unknown_finding_cannot_be_a_target():
    with pytest.raises(ValidationError, match="names 'sadness'; the names are: enlarged"):
        RewriteSettings(target_findings=("edema", "sadness"))
