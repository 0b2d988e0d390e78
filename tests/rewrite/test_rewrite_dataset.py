"""Real reports, if present: each is rewritten or dropped with a reason.

The folder is that of the environment variable PAIRAUG_TEST_DATA, or `../shared/data` beside the
repository.
"""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from pairaug.findings import extract, labels_of
from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Reason, Rewrite, RewriteSettings
from pairaug.rewrite.check import check
from pairaug.rewrite.cleaning import clean, source_report
from pairaug.rewrite.cleaning_patterns import DE_IDENTIFIED
from pairaug.stage import RunContext

pytestmark = pytest.mark.dataset
DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS = {
    "covid": (DATA / "covid_cxr_pairs" / "reports.csv", "image_id"),
    "openi": (DATA / "openi_reports" / "reports.csv", "report_id"),
}


def read_pairs(name: str) -> list[Pair]:
    path, id_column = SETS[name]
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Pair(
                id=f"{name}/{row[id_column]}",
                branch=Branch.REAL,
                patient_id=row[id_column],
                report=Report(findings=row["findings"], impression=row["impression"]),
            )
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("name", SETS)
def test_every_report_is_rewritten_or_dropped(name: str, capsys: pytest.CaptureFixture[str]):
    pairs = read_pairs(name)
    out = list(Rewrite(RewriteSettings(), RunContext(seed=0))(pairs))
    real = [pair for pair in out if pair.branch is Branch.REAL]
    assert [pair.id for pair in real] == [pair.id for pair in pairs]
    counts: Counter[tuple[str, str]] = Counter()
    for pair in out:
        counts[pair.branch, pair.drop.reason if pair.drop else "accepted"] += 1
        assert pair.drop is None or pair.drop.reason in set(Reason)
        if pair.branch is Branch.REAL or pair.drop:
            continue
        assert len(pair.report.text.split()) <= 50
        assert not DE_IDENTIFIED.search(pair.report.text)
        # Not the parent's report: sentences removed to make room are removed from both sides.
        result = check(pair.branch, extract(pair.source_report or ""), pair.report.text, 50)
        assert result.reason is None
    with capsys.disabled():
        line = ", ".join(f"{branch} {reason} {n}" for (branch, reason), n in sorted(counts.items()))
        sys.stdout.write(f"\n{name}: {line}\n")
    living = sum(pair.drop is None for pair in real)
    # Of the cleaned text: reports only on changes over time state nothing once cleaned.
    telling = sum(bool(extract(source_report(p.report.text, 50))) for p in real if p.drop is None)
    assert counts[Branch.INTER, "accepted"] >= 0.9 * telling
    assert counts[Branch.INTRA, "accepted"] >= 0.9 * telling
    for branch in (Branch.INTER, Branch.INTRA):
        assert sum(n for (b, _), n in counts.items() if b is branch) == living


@pytest.mark.parametrize("name", SETS)
def test_cleaning_reverses_no_statement(name: str):
    for pair in read_pairs(name):
        cleaned = clean(pair.report.text)
        assert clean(cleaned) == cleaned
        assert not DE_IDENTIFIED.search(cleaned)
        before = {s.finding for s in extract(pair.report.text) if s.presence != "absent"}
        after = {s.finding for s in extract(cleaned) if s.presence != "absent"}
        assert after - {"no finding"} <= before, pair.id


def test_balanced_targets_are_met_by_the_rules(capsys: pytest.CaptureFixture[str]):
    pairs = read_pairs("openi")
    stage = Rewrite(RewriteSettings(targets="balanced"), RunContext(seed=0))
    stage.fit(pairs)
    children = [pair for pair in stage(pairs[:600]) if pair.parent_id]
    asked = [c for c in children if c.drop is None or c.drop.reason != "nothing_to_change"]
    counts = Counter(str(child.drop.reason if child.drop else "accepted") for child in asked)
    wanted = Counter(str(child.trace["rewrite"]["target"]) for child in asked)
    stated: Counter[str] = Counter()
    for child in asked:
        if child.drop is None and child.branch is Branch.INTER:
            stated.update(f for f, label in child.labels.items() if label and f != "no finding")
    with capsys.disabled():
        sys.stdout.write(f"\n{dict(counts)}\ndrawn: {wanted}\nstated (inter): {stated}\n")
    assert counts["accepted"] >= 0.9 * len(asked)


def test_labels_agree_with_the_sample_of_the_chexpert_labeler(
    capsys: pytest.CaptureFixture[str],
):
    path = DATA / "chexpert_labeler_lexicon" / "labeled_reports.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    expected = {"1.0": True, "0.0": False, "-1.0": None}
    confusions: Counter[tuple[str, str, str]] = Counter()
    wrong: list[tuple[int, str]] = []
    num_stated = num_agreed = 0
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            labels = labels_of(extract(row.pop("Reports")))
            for finding, value in row.items():
                if not value:
                    continue
                is_same = labels[finding.lower()] is expected[value]
                if expected[value] is not None:
                    num_stated += 1
                    num_agreed += is_same
                if not is_same:
                    wrong.append((number, finding))
                    confusions[finding, value, str(labels[finding.lower()])] += 1
    with capsys.disabled():
        sys.stdout.write(f"\n{num_agreed} of {num_stated} stated or denied findings agree\n")
        for (finding, theirs, ours), number in confusions.most_common():
            sys.stdout.write(f"{finding}: theirs {theirs}, ours {ours}: {number}\n")
    assert num_agreed >= 0.95 * num_stated, wrong
