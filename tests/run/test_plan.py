"""Plans: what a run would do, and everything that is in its way, without doing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pairaug.config import Settings, change_settings
from pairaug.manifest import read_pairs
from pairaug.record import RunRecord
from pairaug.run import STAGES, RunFolder, make_plan, timing


def test_a_plan_says_what_is_there(finished: RunFolder, small_settings: Settings) -> None:
    plan = make_plan(small_settings, finished)
    assert plan.problems == ()
    assert (plan.num_pairs, plan.num_parts, plan.source) == (5, 3, "phantom")
    assert set(plan.parts_done.values()) == {3}
    assert f"generate: {small_settings.generate.model}" in plan.models


def test_a_plan_writes_nothing_and_shows_all_problems(
    small_settings: Settings, tmp_path: Path
) -> None:
    overrides = [f"score.model={tmp_path}/none", f"generate.model={tmp_path}/nothing"]
    plan = make_plan(change_settings(small_settings, overrides), RunFolder(tmp_path / "run"))
    assert len(plan.problems) == 2
    assert plan.num_parts == 3
    assert list(tmp_path.iterdir()) == []


def test_a_plan_estimates_what_the_images_take(
    finished: RunFolder, small_settings: Settings
) -> None:
    plan = make_plan(small_settings, finished)
    assert plan.bytes_needed is not None
    # Noise of 16 pixels does not compress, and containers weigh more than such images: same order.
    images = sum(
        len(pair.image.png)
        for stage in STAGES
        for pair in read_pairs(finished.stage(stage))
        if pair.image and pair.image.png
    )
    assert images / 4 < plan.bytes_needed < images * 4


def test_a_plan_counts_the_rows_of_a_table(small_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,file,findings,impression\n" + "1,a.png,Clear.,\n" * 3)
    table = ["read.layout=table", f"read.table={tmp_path / 't.csv'}"]
    folder = RunFolder(tmp_path / "run")
    assert make_plan(change_settings(small_settings, table), folder).num_pairs == 3
    assert make_plan(change_settings(small_settings, [*table, "limit=2"]), folder).num_pairs == 2
    (tmp_path / "t.csv").write_text("id,file,text\n")
    problems = make_plan(change_settings(small_settings, table), folder).problems
    assert any("findings" in problem for problem in problems)


def test_a_plan_sees_other_settings(finished: RunFolder, small_settings: Settings) -> None:
    plan = make_plan(change_settings(small_settings, ["seed=3"]), finished)
    assert "seed: 0 → 3" in plan.problems[0]


def test_where_answers_are_kept_does_not_matter(
    finished: RunFolder, small_settings: Settings
) -> None:
    plan = make_plan(change_settings(small_settings, ["rewrite.cache=other.sqlite"]), finished)
    assert plan.problems == ()


def test_a_plan_says_which_reports_are_of_no_use(small_settings: Settings, tmp_path: Path) -> None:
    rows = ["1,a.png,Clear lungs and a normal heart.", "2,b.png,", "3,c.png,nan", "4,d.png,Clear."]
    (tmp_path / "t.csv").write_text("\n".join(["id,file,findings", *rows]), encoding="utf-8")
    overrides = [
        "read.layout=table",
        f"read.table={tmp_path / 't.csv'}",
        "read.columns.impression=null",
        "rewrite.min_words=3",
    ]
    plan = make_plan(change_settings(small_settings, overrides), RunFolder(tmp_path / "run"))
    # As a spreadsheet counts: the header is row 1.
    assert plan.unusable == {
        "empty_report": ("row 3", "row 4"),
        "report_too_short": ("row 5",),
    }


def test_a_plan_estimates_what_models_take(
    small_settings: Settings, finished: RunFolder, tmp_path: Path
) -> None:
    times = make_plan(small_settings, RunFolder(tmp_path / "run")).times
    assert {stage: timing.num_pairs for stage, timing in times.items()} == {
        "generate": 5,
        "edit": 5,
        "score": 15,
    }
    assert all(0 < timing.seconds < 60 for timing in times.values())
    assert not any(timing.is_measured for timing in times.values())
    assert list(tmp_path.iterdir()) == []
    record = finished.load_record()
    # A folder that has been worked in says how long it took there.
    before = make_plan(small_settings, finished).times["edit"]
    assert before.is_measured
    counted = record.counts["edit"]["in"]
    assert before.seconds_each == pytest.approx(record.seconds["edit"] / counted)


def test_the_time_for_all_steps_follows_from_two_short_tries(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretended(stage: str, settings: Settings, changes: dict[str, object]) -> float:
        return 1.0 + 0.5 * int(str(changes.get(f"{stage}.num_inference_steps", 0)))

    monkeypatch.setattr(timing, "_time_stage", pretended)
    many = change_settings(small_settings, ["edit.num_inference_steps=40", "edit.num_images=3"])
    edit = timing.time_stages(many, RunRecord(), 4, 4)["edit"]
    assert (edit.num_pairs, edit.seconds_each) == (12, pytest.approx(21.0))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b'{"sample_size": null}', b""])
def test_a_generator_with_a_damaged_configuration_is_a_problem(
    small_settings: Settings, tiny_generator_folder: Path, tmp_path: Path, content: bytes
) -> None:
    model = shutil.copytree(tiny_generator_folder, tmp_path / "model")
    (model / "unet" / "config.json").write_bytes(content)
    settings = change_settings(small_settings, [f"generate.model={model}"])
    plan = make_plan(settings, RunFolder(tmp_path / "run"))
    assert any(str(model) in problem for problem in plan.problems)
    assert plan.bytes_needed is None
