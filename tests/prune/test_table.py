"""Pruning a part as a table is pruning it pair by pair; and a run is pruned without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.imaging.io import png_ref
from pairaug.manifest import read_part, read_table, write_part, write_table
from pairaug.pair import Branch, Pair, Report
from pairaug.prune import Prune, PruneRule, PruneSettings
from pairaug.run import RunFolder
from pairaug.stage import RunContext, apply

RULES = {
    "inter": {"rule": "threshold", "threshold": 0.3},
    "intra": [{"rule": "mean-margin"}, {"rule": "top-k", "k": 2}],
}


def _pairs() -> list[Pair]:
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(12):
        image = png_ref(rng.random((8, 8)).astype(np.float32))
        real = Pair(f"r{index}", Branch.REAL, f"p{index}", Report("wörds", "“quoted”"), image=image)
        real = real.with_trace("read", layout="phantom", nested={"score": {"rewrite": 1}})
        pairs.append(real)
        inter = real.child(
            "inter-0", branch=Branch.INTER, source_report=real.report.text, report=Report("{}")
        ).with_image(image)
        pairs.append(inter.with_scores(image_report=rng.normal(0.3, 0.1)))
        for number in range(3):
            child = real.child(
                f"intra-{number}",
                branch=Branch.INTRA,
                source_report=real.report.text,
                report=Report("y"),
            )
            scores = rng.normal(0.4, 0.2, 3).clip(-1, 1).tolist()
            child = child.with_scores(
                image_report=scores[0], image_image=scores[1], directional=scores[2]
            )
            child = child.with_trace("score", model='a "b" {c}').with_embeddings(
                image=rng.normal(size=4), report=rng.normal(size=4)
            )
            pairs.append(child)
    pairs[4] = pairs[4].dropped("edit", "image_constant", "0")
    pairs[3] = pairs[3].with_scores(directional=None)
    return pairs


def test_a_table_gives_the_same_as_pair_by_pair(tmp_path: Path) -> None:
    pairs, settings = _pairs(), PruneSettings.model_validate(RULES)
    path = write_part(tmp_path / "score", 0, pairs, "f")
    decision = PruneRule(settings).decide_parts([path])
    assert decision.fitted == PruneRule(settings).fit([pairs])
    done: list[int] = []
    stage = Prune(settings, decision.fitted, RunContext(seed=0, report_progress=done.append))
    write_table(tmp_path / "prune", 0, stage.apply_to_table(read_table(path)), "g")
    found = read_part(tmp_path / "prune" / "part-00000.parquet")
    stored = read_part(path)
    assert found == apply(stage, stored)
    assert sum(pair.drop is not None for pair in found) > 5
    assert done[0] == sum(pair.branch is not Branch.REAL and not pair.drop for pair in stored)
    before, after = read_table(path), read_table(tmp_path / "prune" / "part-00000.parquet")
    assert after.schema.equals(before.schema)
    for name in before.column_names:
        if not name.startswith(("drop_", "trace")):
            assert after[name].equals(before[name]), name


def test_part_sizes_of_a_run_change_nothing(tmp_path: Path) -> None:
    pairs, settings = _pairs(), PruneSettings.model_validate(RULES)
    families = [pairs[start : start + 5] for start in range(0, len(pairs), 5)]
    kept = []
    for number, size in enumerate((1, 5, 12)):
        folder = tmp_path / str(number)
        paths = [
            write_part(
                folder, start, [p for family in families[start : start + size] for p in family], "f"
            )
            for start in range(0, len(families), size)
        ]
        decision = PruneRule(settings).decide_parts(paths)
        stage = Prune(settings, decision.fitted, RunContext(seed=0))
        tables = [stage.apply_to_table(read_table(path)) for path in paths]
        rows = [row for table in tables for row in table.select(["id", "drop_reason"]).to_pylist()]
        kept.append((decision.fitted, {row["id"]: row["drop_reason"] for row in rows}))
    assert kept[0] == kept[1] == kept[2]


@pytest.fixture
def copied(finished: RunFolder, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(finished.path, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_pruned_and_swept_without_a_tensor_library(copied: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'diffusers'): sys.modules[name] = None\n"
        "from pairaug.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
    )
    for words in (
        ["prune", str(copied), "--set", "prune.inter={rule: quantile, quantile: 0.4}"],
        ["prune", str(copied), "--set", "prune.inter={rule: mismatch-quantile, quantile: 0.1}"],
        ["prune", str(copied), "--sweep"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    rule = json.loads((copied / "run.json").read_text())["rule"]["inter"]
    assert rule["rule"] == "mismatch-quantile"
    assert rule["mismatches"]["image_report"]["num_values"] > 0


def test_a_sweep_shows_what_each_threshold_keeps(copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*.parquet")}
    result = CliRunner().invoke(app, ["prune", str(copied), "--sweep"])
    assert result.exit_code == 0, result.output
    assert "inter: image_report of" in result.output
    assert "intra: directional of" in result.output
    assert "100.0%" in result.output
    assert "0.0%" in result.output
    page = (copied / "sweep.html").read_text()
    assert "label balance" in page
    assert "http" not in page
    assert {path: path.read_bytes() for path in copied.rglob("*.parquet")} == before


def test_copies_are_counted_in_a_run(copied: Path) -> None:
    words = ["prune", str(copied), "--set", "prune.duplicate.quantile=0.01"]
    words += ["--set", "prune.memorised.quantile=0.99"]
    words += ["--set", "prune.inter={rule: threshold, threshold: -1}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    record = json.loads((copied / "run.json").read_text())
    dropped = record["counts"]["prune"]["dropped"]
    for name in ("duplicate", "memorised"):
        assert dropped.get(name, 0) == record["rule"][name]["num_found"]
        assert record["rule"][name]["num_real"] > 0
