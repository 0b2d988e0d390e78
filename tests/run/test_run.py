"""Runs: resumed to the same bytes, never mixed, and every pair accounted for."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pairaug import manifest
from pairaug.config import Settings, change_settings, load_settings
from pairaug.errors import ModelError, RunError, SettingsError
from pairaug.manifest import part_paths, read_pairs
from pairaug.run import STAGES, RunFolder, run, run_stage
from pairaug.run.device import with_device
from pairaug.system.locks import hold_lock

NUM_PATIENTS = 5


@pytest.fixture
def copied(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A finished run to do things to."""
    shutil.copytree(finished.path, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")


def bytes_of(folder: RunFolder) -> dict[str, bytes]:
    """Every part of a run."""
    return {
        f"{stage}/{path.name}": path.read_bytes()
        for stage in STAGES
        for path in part_paths(folder.stage(stage))
    }


class Recorder:
    """Notes what a progress bar would show."""

    def __init__(self) -> None:
        self.stages: list[list] = []

    def start(self, stage: str, total: int | None, done: int = 0, unit: str = "pair") -> None:
        del unit
        self.stages.append([stage, total, done])

    def advance(self, num_done: int) -> None:
        self.stages[-1][2] += num_done

    def note(self, text: str) -> None:
        del text

    def finish(self) -> None:
        return


def test_a_run_leaves_what_it_promises(finished: RunFolder) -> None:
    assert {path.name for path in finished.path.iterdir()} == {
        *STAGES,
        "export",
        "run.json",
        "run.yaml",
        "summary.html",
        ".lock",
    }
    for stage in STAGES:
        names = [path.name for path in finished.stage(stage).iterdir()]
        assert sorted(names) == [f"part-{index:05d}.parquet" for index in range(3)]


def test_nothing_disappears(finished: RunFolder) -> None:
    """Every pair of a stage is in the next one, and what is living in the end has all it needs."""
    before: set[str] = set()
    for stage in STAGES:
        pairs = list(read_pairs(finished.stage(stage)))
        ids = [pair.id for pair in pairs]
        assert len(ids) == len(set(ids))
        assert before <= set(ids)
        before = set(ids)
    for pair in pairs:
        assert pair.drop is not None or pair.image is not None
        assert pair.drop is not None or pair.scores
    reals = [pair for pair in pairs if pair.parent_id is None]
    assert len(reals) == NUM_PATIENTS
    for child in pairs:
        if child.parent_id is not None:
            assert child.parent_id in {pair.id for pair in reals}


def test_children_are_in_their_parents_part_and_after_it(finished: RunFolder) -> None:
    for path in part_paths(finished.stage("prune")):
        seen: set[str] = set()
        for pair in manifest.read_part(path):
            assert pair.parent_id is None or pair.parent_id in seen
            seen.add(pair.id)


def test_the_record_is_what_the_parts_say(finished: RunFolder, small_settings: Settings) -> None:
    record = finished.load_record()
    pairs = list(read_pairs(finished.stage("prune")))
    living = Counter(pair.branch.value for pair in pairs if pair.drop is None)
    assert record.counts["prune"]["living"] == dict(living)
    for stage in STAGES:
        reasons = Counter(p.drop.reason for p in pairs if p.drop and p.drop.stage == stage)
        assert record.counts[stage]["dropped"] == dict(reasons)
    assert record.counts["read"]["in"] == NUM_PATIENTS
    exported = record.counts["export"]
    assert {name: number for name, number in exported["living"].items() if number} == dict(living)
    assert exported["in"] == living.total()
    assert exported["dropped"] == {}
    assert record.counts["rewrite"]["created"] == len(pairs) - NUM_PATIENTS
    assert set(record.seconds) == {*STAGES, "export", "summary"}
    assert record.seed == small_settings.seed
    assert record.versions["python"].count(".") == 2
    assert len(record.weights["generate"][small_settings.generate.model]) == 64
    assert set(record.rule) == {"inter", "intra"}


def test_running_again_touches_nothing(copied: RunFolder, small_settings: Settings) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.path.rglob("part-*")}
    page = copied.result("summary").stat().st_mtime_ns
    run(small_settings, copied)
    assert {path: path.stat().st_mtime_ns for path in copied.path.rglob("part-*")} == before
    assert copied.result("summary").stat().st_mtime_ns == page


def test_the_same_seed_gives_the_same_bytes_in_another_folder(
    finished: RunFolder, small_settings: Settings, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "elsewhere" / "deep")
    run(small_settings, other)
    assert bytes_of(other) == bytes_of(finished)


def test_another_seed_gives_other_images(
    finished: RunFolder, small_settings: Settings, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "other")
    changed = change_settings(small_settings, ["seed=1", "read.seed=0", "limit=2"])
    run(changed, other)
    images = [
        {pair.id: pair.image.png for pair in read_pairs(folder.stage("generate")) if pair.image}
        for folder in (finished, other)
    ]
    generated = [pair_id for pair_id in images[1] if "~" in pair_id]
    assert generated
    assert all(images[0].get(pair_id) != images[1][pair_id] for pair_id in generated)
    # `read.seed` holds the patients themselves fast.
    assert images[0]["phantom/000000"] == images[1]["phantom/000000"]


@pytest.mark.parametrize(
    "lost",
    [
        ["generate/part-00001.parquet"],
        ["read/part-00002.parquet", "rewrite/part-00002.parquet", "generate/part-00002.parquet"],
        ["read/part-00000.parquet"],
        ["edit", "score", "prune", "export", "summary.html"],
        ["run.json"],
    ],
)
def test_what_is_lost_is_made_again_to_the_same_bytes(
    finished: RunFolder, copied: RunFolder, small_settings: Settings, lost: list[str]
) -> None:
    for name in lost:
        path = copied.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(small_settings, copied)
    assert bytes_of(copied) == bytes_of(finished)
    assert copied.result("summary").is_file()
    assert copied.load_record().counts == finished.load_record().counts


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "seed=7",
            r"read was written with other settings \(seed: 0 → 7\)\. Resume with .*run\.yaml",
        ),
        ("limit=3", r"\(limit: None → 3\)"),
        ("part_size=4", r"\(part_size: 2 → 4\)"),
        ("rewrite.max_words=40", r"rewrite was written .*\(rewrite\.max_words: 50 → 40\)"),
        ("generate.guidance_scale=2", r"generate was written .*guidance_scale: 4\.0 → 2\.0\)"),
        (
            "edit.cross_replace_steps=1",
            r"edit was written .*\(edit\.cross_replace_steps: 0\.5 → 1\.0\)",
        ),
        (
            "prune.intra.margin=0.5",
            r"prune was made with another rule \(prune\.intra\.margin: 0\.003 → 0\.5\)",
        ),
        (
            "export.pairs_per_shard=9",
            r"the export of .* other settings \(export\.pairs_per_shard: 1000 → 9",
        ),
        ("summary.max_examples=2", r"pairaug summarize .* --set NAME=VALUE"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused_by_name(
    finished: RunFolder, small_settings: Settings, override: str, message: str
) -> None:
    before = bytes_of(finished)
    text = finished.settings_path.read_text()
    with pytest.raises(RunError, match=message):
        run(change_settings(small_settings, [override]), finished)
    assert bytes_of(finished) == before
    assert finished.settings_path.read_text() == text


def test_other_weights_are_refused_by_name(
    copied: RunFolder, small_settings: Settings, tiny_scorer_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "scorer"
    shutil.copytree(tiny_scorer_folder, other)
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    changed = change_settings(small_settings, [f"score.model={other}"])
    with pytest.raises(RunError, match=r"score was written .*weights of .*: hash differs"):
        run(changed, copied)


def test_without_a_record_other_settings_are_still_refused(
    copied: RunFolder, small_settings: Settings
) -> None:
    copied.record_path.unlink()
    with pytest.raises(RunError, match=r"run\.json does not list them"):
        run(change_settings(small_settings, ["seed=7"]), copied)


def test_a_damaged_record_is_named(copied: RunFolder, small_settings: Settings) -> None:
    copied.record_path.write_text("{")
    with pytest.raises(RunError, match=r"run\.json cannot be read: not JSON .*; delete it and run"):
        run(small_settings, copied)


def test_a_damaged_part_is_named_and_can_be_made_again(
    finished: RunFolder, copied: RunFolder, small_settings: Settings
) -> None:
    part = copied.stage("generate") / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"generate/part-00001\.parquet is damaged or cut short"):
        run(small_settings, copied)
    part.unlink()
    run(small_settings, copied)
    assert bytes_of(copied) == bytes_of(finished)


def test_a_run_has_one_writer(finished: RunFolder, small_settings: Settings) -> None:
    with (
        hold_lock(finished.path),
        pytest.raises(RunError, match=rf"another process \(pid {os.getpid()}\)\. Wait for it"),
    ):
        run(small_settings, RunFolder(finished.path))


def test_a_full_disk_stops_the_run_and_room_resumes_it(
    finished: RunFolder, small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    fsync = os.fsync

    def full_after_a_while(descriptor: int) -> None:
        if part_paths(folder.stage("generate")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(RunError, match=r"the disk is full: .* does not fit in "):
        run(small_settings, folder)
    monkeypatch.undo()
    assert not list(folder.path.rglob("*.writing-pairaug"))
    run(small_settings, folder)
    assert bytes_of(folder) == bytes_of(finished)


def test_half_written_files_of_a_killed_run_are_removed(
    copied: RunFolder, small_settings: Settings
) -> None:
    leftover = copied.stage("edit") / ".part-00001.parquet.writing-pairaug"
    leftover.write_bytes(b"half")
    run(small_settings, copied)
    assert not leftover.exists()


def test_a_missing_model_stops_before_anything_is_written(
    small_settings: Settings, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        run(change_settings(small_settings, [f"score.model={tmp_path / 'empty'}"]), folder)
    assert [path.name for path in folder.path.iterdir()] == [".lock"]


def test_progress_reaches_its_totals(small_settings: Settings, tmp_path: Path) -> None:
    recorder = Recorder()
    run(small_settings, RunFolder(tmp_path / "run"), recorder)
    assert [stage for stage, _, _ in recorder.stages] == [*STAGES, "export", "summary"]
    assert all(total == done for _, total, done in recorder.stages)
    assert recorder.stages[0] == ["read", NUM_PATIENTS, NUM_PATIENTS]


def test_progress_counts_what_an_earlier_run_did(
    copied: RunFolder, small_settings: Settings
) -> None:
    (copied.stage("score") / "part-00002.parquet").unlink()
    (copied.stage("prune") / "part-00002.parquet").unlink()
    recorder = Recorder()
    run(small_settings, copied, recorder)
    first_start = recorder.stages[0]
    assert first_start[0] == "score"
    assert first_start[1] == first_start[2]


def test_prune_is_decided_again_in_place(copied: RunFolder, finished: RunFolder) -> None:
    record = run_stage("prune", copied, ["prune.inter.rule=threshold", "prune.inter.threshold=-1"])
    assert record.counts["prune"]["living"]["inter"] == record.counts["score"]["living"]["inter"]
    assert load_settings(copied.settings_path).prune.inter.model_dump()["threshold"] == -1
    assert record.rule["inter"]["bounds"] == {"image_report": -1.0}
    unchanged = {name: value for name, value in bytes_of(copied).items() if "prune" not in name}
    assert unchanged.items() <= bytes_of(finished).items()
    # The next run goes on from there, and brings what comes after up to date.
    page = copied.result("summary").read_text()
    run(load_settings(copied.settings_path), copied)
    assert copied.result("summary").read_text() != page


def test_deciding_back_gives_the_first_bytes(copied: RunFolder, finished: RunFolder) -> None:
    run_stage("prune", copied, ["prune.intra.margin=1"])
    assert bytes_of(copied) != bytes_of(finished)
    run_stage("prune", copied, ["prune.intra.margin=0.003"])
    assert bytes_of(copied) == bytes_of(finished)


@pytest.mark.parametrize("stage", ["export", "summary"])
def test_what_comes_after_the_parts_is_written_again_in_place(
    copied: RunFolder, stage: str
) -> None:
    override = {"export": "export.formats=[parquet]", "summary": "summary.max_examples=1"}[stage]
    before = _tree(copied.result(stage))
    run_stage(stage, copied, [override])
    assert _tree(copied.result(stage)) != before
    run(load_settings(copied.settings_path), copied)


def _tree(path: Path) -> dict[str, int]:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {str(each.relative_to(path)): each.stat().st_mtime_ns for each in files}


def test_stages_one_by_one_are_the_whole_run(
    finished: RunFolder, small_settings: Settings, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    shutil.copy(finished.settings_path, folder.settings_path)
    for stage in (*STAGES, "export", "summary"):
        run_stage(stage, folder)
    assert bytes_of(folder) == bytes_of(finished)
    run(small_settings, folder)


def test_a_stage_that_took_long_is_not_thrown_away(copied: RunFolder, finished: RunFolder) -> None:
    message = (
        r"edit was written with other settings \(edit\.num_inference_steps: 2 → 3\)\. "
        r"To make it again, "
        r"delete .*edit, .*score, .*prune and repeat"
    )
    with pytest.raises(RunError, match=message):
        run_stage("edit", copied, ["edit.num_inference_steps=3"])
    assert bytes_of(copied) == bytes_of(finished)
    assert load_settings(copied.settings_path).edit.num_inference_steps == 2


def test_a_stage_made_again_after_deleting_it(copied: RunFolder, finished: RunFolder) -> None:
    for stage in ("edit", "score", "prune"):
        shutil.rmtree(copied.stage(stage))
    for stage in ("edit", "score", "prune"):
        run_stage(stage, copied, ["edit.num_inference_steps=3"] if stage == "edit" else ())
    changed = {
        name for name, value in bytes_of(copied).items() if bytes_of(finished)[name] != value
    }
    assert {name.split("/")[0] for name in changed} == {"edit", "score", "prune"}


@pytest.mark.parametrize(
    ("stage", "override", "message"),
    [
        (
            "prune",
            "edit.num_inference_steps=3",
            "pairaug prune can change only settings of prune, not edit.num",
        ),
        ("summary", "seed=3", "pairaug summarize can change only settings of summary, not seed"),
    ],
)
def test_a_stage_changes_its_own_settings_only(
    finished: RunFolder, stage: str, override: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run_stage(stage, finished, [override])


def test_a_stage_needs_the_one_before_it(copied: RunFolder) -> None:
    (copied.stage("edit") / "part-00001.parquet").unlink()
    shutil.rmtree(copied.stage("score"))
    with pytest.raises(RunError, match="edit is not complete; run first: pairaug edit"):
        run_stage("score", copied)


def test_a_stage_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no run\.yaml"):
        run_stage("prune", RunFolder(tmp_path))


@pytest.mark.parametrize("kind", ["memory", "device"])
def test_running_out_of_memory_says_what_to_lower(
    small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # Named as PyTorch's error is.
    raised = {"memory": MemoryError, "device": type("OutOfMemoryError", (RuntimeError,), {})}[kind]

    def full(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("pairaug.generate.Generate._generated", full)
    with pytest.raises(
        RunError, match=r"generate ran out of memory on cpu\. Lower generate\.batch_"
    ):
        run(small_settings, RunFolder(tmp_path / "run"))


def test_a_device_that_is_not_there_is_refused(small_settings: Settings) -> None:
    torch = pytest.importorskip("torch")
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(SettingsError, match="device is 'mps', but PyTorch does not see it here"):
        with_device(change_settings(small_settings, ["device=mps"]))


def test_the_record_is_json_with_a_version(finished: RunFolder) -> None:
    content = json.loads(finished.record_path.read_text())
    assert content["pairaug"]["format"] == manifest.FORMAT_VERSION


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"would send report text to api\.example\.org"),
        (
            ["rewrite.allow_remote=true", "rewrite.data_policy=public"],
            r"read\.access is credentialed and rewrite\.base_url is api\.example\.org: PhysioNet",
        ),
    ],
)
def test_reports_that_must_not_leave_are_refused_before_reading(
    small_settings: Settings, tmp_path: Path, overrides: list[str], message: str
) -> None:
    (tmp_path / "t.csv").write_text("id,file,findings,impression\n1,a.png,Clear.,Normal.\n")
    remote = [
        "read.layout=table",
        f"read.table={tmp_path / 't.csv'}",
        "read.access=credentialed",
        "rewrite.backend=openai",
        "rewrite.model=m",
        "rewrite.base_url=https://api.example.org/v1",
        *overrides,
    ]
    with pytest.raises(SettingsError, match=message):
        run(change_settings(small_settings, remote), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run" / "read").exists()


def cut_down_to(folder: RunFolder, stage: str) -> None:
    """The state of a run that was stopped before the first part of `stage`."""
    for name in STAGES[STAGES.index(stage) :]:
        shutil.rmtree(folder.stage(name))
    shutil.rmtree(folder.result("export"))
    folder.result("summary").unlink()


@pytest.mark.parametrize(
    ("stopped_in", "override", "change"),
    [
        ("edit", "edit.num_inference_steps=3", r"edit\.num_inference_steps: 2 → 3"),
        ("generate", "edit.num_inference_steps=3", r"edit\.num_inference_steps: 2 → 3"),
        ("rewrite", "score.batch_size=5", r"score\.batch_size: \d+ → 5"),
        ("score", "prune.intra.margin=0.5", r"prune\.intra\.margin: 0\.003 → 0\.5"),
        ("prune", "export.text=findings", r"export\.text: .* → findings"),
        ("edit", "summary.max_examples=2", r"summary\.max_examples: 8 → 2"),
    ],
)
def test_what_a_folder_was_started_with_holds_for_stages_to_come(
    copied: RunFolder, small_settings: Settings, stopped_in: str, override: str, change: str
) -> None:
    cut_down_to(copied, stopped_in)
    text = copied.settings_path.read_text()
    with pytest.raises(RunError, match=rf"was started with other settings \({change}\)\. Resume"):
        run(change_settings(small_settings, [override]), copied)
    assert copied.settings_path.read_text() == text
    run(small_settings, copied)


def test_what_changes_no_result_may_change_at_any_time(
    copied: RunFolder, small_settings: Settings
) -> None:
    cut_down_to(copied, "edit")
    run(change_settings(small_settings, ["num_workers=1", "rewrite.concurrency=3"]), copied)
    assert load_settings(copied.settings_path).num_workers == 1


def test_a_folder_without_pairs_may_start_again_and_it_is_logged(
    finished: RunFolder,
    small_settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    text = finished.settings_path.read_text()
    folder.settings_path.write_text(text.replace("num_patients: 5", "num_patients: 6"))
    run(small_settings, folder)
    assert "starts again with other settings: read.num_patients: 6 → 5" in caplog.text


def test_a_damaged_part_of_the_page_is_named(copied: RunFolder) -> None:
    part = copied.stage("prune") / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"prune/part-00001\.parquet is damaged or cut short"):
        run_stage("summary", copied)


def test_parts_by_two_rules_are_never_exported(copied: RunFolder, finished: RunFolder) -> None:
    run_stage("prune", copied, ["prune.intra.margin=1"])
    name = "part-00000.parquet"
    shutil.copy(finished.stage("prune") / name, copied.stage("prune") / name)
    with pytest.raises(RunError, match=r"prune has parts with different settings\. Delete"):
        run_stage("export", copied)
