"""Speed of deciding about many pairs: `make bench`. Scores are stored; no model is needed.

The reference takes the mean anew for every pair, as the paper's released code does, so its time
grows with the square of the pairs; it is timed where it ends.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pairaug.manifest import SCHEMA, part_paths, read_table, write_table
from pairaug.pair import SCORES
from pairaug.prune import Prune, PruneRule, PruneSettings
from pairaug.stage import RunContext

PART_ROWS = 10_000
RULES = {
    "inter": {"rule": "threshold", "threshold": 0.3},
    "intra": {"rule": "mean-margin", "margin": 0.003},
}


def write_scored(folder: Path, num_pairs: int) -> Path:
    """Parts of scored synthetic pairs with reports and traces of usual length, without images."""
    rng = np.random.default_rng(0)
    trace = json.dumps(
        {
            "edit": {"model": "m" * 40, "seed": 1, "prompt": "p" * 200, "steps": 25},
            "rewrite": {"backend": "rules", "changed": ["edema", "pleural effusion"]},
            "score": {"encoder": "e" * 64, "model": "bundled", "weights_sha256": "w" * 64},
        },
        separators=(",", ":"),
    )
    words = np.array(["no", "effusion", "heart", "normal", "left", "lung", "clear", "edema"])
    for index, start in enumerate(range(0, num_pairs, PART_ROWS)):
        rows = min(PART_ROWS, num_pairs - start)
        numbers = np.arange(start, start + rows)
        is_inter = numbers % 11 == 0
        branches = np.where(is_inter, "inter", "intra")
        parents = [f"covid/{number // 11:07d}" for number in numbers]
        texts = [" ".join(row) for row in words[rng.integers(0, len(words), (rows, 30))]]
        scores = rng.normal([0.35, 0.8, 0.3], 0.1, (rows, 3)).clip(-1, 1)
        columns = {
            "id": [f"{p}~{b}-{n % 11}" for p, b, n in zip(parents, branches, numbers, strict=True)],
            "parent_id": parents,
            "branch": branches,
            "patient_id": parents,
            "source_patient_id": parents,
            "split": ["train"] * rows,
            "findings": texts,
            "impression": [text[:60] for text in texts],
            "scores": [
                dict(zip(SCORES, (row[0], None, None) if inter else row, strict=True))
                for row, inter in zip(scores.tolist(), is_inter, strict=True)
            ],
            "labels": [{"edema": 1}] * rows,
            "trace": [trace] * rows,
        }
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in SCHEMA
        ]
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
        is_last = start + rows >= num_pairs
        write_table(folder, index, table, "0" * 64, is_last=is_last)
    return folder


def decide(scored: Path, out: Path) -> int:
    """Fits and prunes from part to part, as a run does; how many parts were written."""
    settings = PruneSettings.model_validate(RULES)
    decision = PruneRule(settings).decide_parts(part_paths(scored))
    stage = Prune(settings, decision.fitted, RunContext(seed=0), decision.copies)
    for index, path in enumerate(part_paths(scored)):
        write_table(out, index, stage.apply_to_table(read_table(path)), "1" * 64)
    return len(part_paths(out))


def quadratic(scores: np.ndarray, margin: float) -> list[bool]:
    """The mean of all pairs, taken again for each pair."""
    rows = [tuple(row) for row in scores.tolist()]
    kept = []
    for row in rows:
        means = [sum(other[k] for other in rows) / len(rows) for k in range(3)]
        kept.append(all(value > mean - margin for value, mean in zip(row, means, strict=True)))
    return kept


@pytest.mark.parametrize("num_pairs", [10_000, 100_000, 1_000_000])
def test_fit_and_prune(benchmark: BenchmarkFixture, tmp_path: Path, num_pairs: int):
    scored = write_scored(tmp_path / "score", num_pairs)
    benchmark.pedantic(lambda: decide(scored, tmp_path / "prune"), rounds=3, iterations=1)


@pytest.mark.parametrize("num_pairs", [1_000, 3_000])
def test_the_same_with_the_mean_taken_for_each_pair(benchmark: BenchmarkFixture, num_pairs: int):
    scores = np.random.default_rng(0).normal([0.35, 0.8, 0.3], 0.1, (num_pairs, 3))
    kept = benchmark.pedantic(lambda: quadratic(scores, 0.003), rounds=1, iterations=1)
    assert kept == (scores > scores.mean(axis=0) - 0.003).all(axis=1).tolist()
