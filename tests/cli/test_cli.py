"""The command line: quick to answer, one clear line for every problem, the promised exit codes."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pairaug import __version__
from pairaug.cli import app
from pairaug.config import load_settings
from pairaug.errors import RunError
from pairaug.run import RunFolder

STAGE_COMMANDS = (
    "read",
    "rewrite",
    "generate",
    "edit",
    "score",
    "prune",
    "export",
    "summarize",
)
COMMANDS = ("demo", "run", *STAGE_COMMANDS, "phantom", "doctor", "convert", "train", "evaluate")
HEAVY = ("torch", "numpy", "pydantic", "pyarrow", "transformers", "diffusers", "PIL", "yaml")


@pytest.fixture
def models(tiny_generator_folder: Path, tiny_scorer_folder: Path) -> list[str]:
    """Options for a small run with tiny models."""
    return _sets(
        f"generate.model={tiny_generator_folder}",
        f"edit.model={tiny_generator_folder}",
        f"score.model={tiny_scorer_folder}",
        "generate.num_inference_steps=2",
        "edit.num_inference_steps=2",
        "part_size=2",
        "device=cpu",
    )


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def pairaug(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def in_own_process(*words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{before}\nimport sys\nfrom pairaug.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


def one_line(result: Result) -> str:
    """What a problem says: exit code 1, one line on stderr, nothing else."""
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("pairaug: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    return result.stderr


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, pairaug.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_within_a_third_of_a_second() -> None:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert in_own_process("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of the processor, not of the wall: other work on the machine does not count.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3


def test_help_lists_what_works() -> None:
    output = pairaug("--help").output
    for command in COMMANDS:
        assert f"\n  {command} " in output
        assert pairaug(command, "--help").exit_code == 0


def test_version() -> None:
    assert pairaug("--version").output == f"pairaug {__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["run"], ["demo", "--nonsense"], ["run", "a.yaml", "--limit", "0"]]
)
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    result = pairaug(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_a_whole_small_run_and_its_stages(models: list[str]) -> None:
    small = [*models, *_sets("read.num_patients=3", "read.size=32")]
    result = pairaug("demo", *small)
    assert result.exit_code == 0, result.output
    for word in ("read", "rewritten", "generated", "edited", "kept", "dropped", "seconds"):
        assert word in result.stdout
    assert "summary   runs/demo/summary.html" in result.stdout
    assert "generate: done, 3 pairs in" in result.stderr
    # A run's own settings file means the run's own folder.
    assert pairaug("run", "runs/demo/run.yaml").exit_code == 0
    pruned = pairaug("prune", "runs/demo", "--set", "prune.inter.threshold=-1")
    assert pruned.exit_code == 0, pruned.output
    assert "kept" in pruned.stdout
    assert "To update export and summary.html, run: pairaug run" in pruned.stdout
    assert pairaug("summarize", "runs/demo").exit_code == 0


def test_what_changed_is_named(models: list[str]) -> None:
    small = [*models, *_sets("read.num_patients=1", "read.size=32")]
    assert pairaug("demo", *small).exit_code == 0
    line = one_line(pairaug("demo", *small, "--set", "seed=3"))
    assert "runs/demo/read was written with other settings (seed: 0 → 3)" in line


def test_pruning_needs_no_tensor_library(models: list[str]) -> None:
    small = [*models, *_sets("read.num_patients=2", "read.size=32")]
    assert pairaug("demo", *small).exit_code == 0
    without = (
        "import sys\nfor name in ('torch', 'transformers', 'diffusers'): sys.modules[name] = None"
    )
    exported = ["export", "--to", "chexzero,folder,huggingface"]
    for words in (["prune", "--set", "prune.intra.margin=1"], exported, ["summarize"]):
        done = in_own_process(words[0], "runs/demo", *words[1:], before=without)
        assert done.returncode == 0, done.stderr


def test_layouts_are_added_to_an_export(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    result = pairaug("export", "run", "--to", "folder,chexzero", "--to", "huggingface")
    assert result.exit_code == 0, result.output
    five = ["webdataset", "parquet", "folder", "chexzero", "huggingface"]
    assert {path.name for path in Path("run/export").iterdir() if path.is_dir()} == set(five)
    row = next(line for line in result.stdout.splitlines() if line.startswith("exported"))
    assert row.split()[1] == "5"  # the real pairs, beside what was kept of the others
    # The run's own file goes on from there, and writes nothing again.
    before = Path("run/export/export.json").stat().st_mtime_ns
    assert pairaug("run", "run/run.yaml").exit_code == 0
    assert Path("run/export/export.json").stat().st_mtime_ns == before
    assert load_settings(Path("run/run.yaml")).export.formats == tuple(five)
    # Exactly these, when they are named as settings are.
    assert pairaug("export", "run", "--set", "export.formats=[parquet]").exit_code == 0
    assert [path.name for path in Path("run/export").iterdir() if path.is_dir()] == ["parquet"]


def test_layouts_that_are_not_there_are_named(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    line = one_line(pairaug("export", "run", "--to", "zip"))
    assert "is 'zip'; choose one of: 'webdataset', 'parquet', 'huggingface', 'folder'" in line
    line = one_line(pairaug("export", "run", "--to", "folder", *_sets("export.formats=[parquet]")))
    assert "--to adds layouts to the export" in line
    line = one_line(pairaug("export", "run", *_sets("export.synthetic_per_real=-1")))
    assert "export.synthetic_per_real in --set is -1; it should be greater than or" in line


def test_a_layout_whose_library_is_missing_stops_the_run_at_once(models: list[str]) -> None:
    without = "import sys\nsys.modules['h5py'] = None"
    words = [*models, *_sets("read.num_patients=1", "export.formats=[chexzero]")]
    done = in_own_process("demo", *words, before=without)
    assert (done.returncode, done.stderr) == (
        1,
        'pairaug: exporting to chexzero needs h5py: pip install "pairaug[hdf5]"\n',
    )
    assert not Path("runs/demo/read").exists()


def test_a_dry_run_writes_nothing(models: list[str], tmp_path: Path) -> None:
    Path("my.yaml").write_text("preset: demo\nread: {num_patients: 5}\n")
    result = pairaug("run", "my.yaml", "--dry-run", *models)
    assert result.exit_code == 0, result.output
    assert "5 pairs from phantom in 3 parts" in result.stdout
    assert "runs/my" in result.stdout
    assert "model" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_a_dry_run_shows_what_is_missing(models: list[str]) -> None:
    Path("my.yaml").write_text("preset: demo\nscore: {model: nowhere/at-all}\n")
    result = pairaug("run", "my.yaml", "--dry-run", *models[:4])
    assert result.exit_code == 1
    assert "cannot load the scorer nowhere/at-all" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("table", "overrides", "message"),
    [
        (None, [], "t.csv"),
        ("", [], "t.csv"),
        ("id,file,findings,impression\n", [], "t.csv"),
        ("id,file,text\n1,a.png,Clear.\n", [], "findings"),
        ("id,file,findings,impression\n1,a.png,,Clear.\n", ["read.root=nowhere"], "nowhere"),
        (
            "id,file,findings,impression\n1,a.png,,Clear.\n",
            ["edit.guidence_scale=2"],
            "unknown setting edit.guidence_scale in --set; did you mean edit.guidance_scale?",
        ),
        (
            "id,file,findings,impression\n1,a.png,,Clear.\n",
            ["engine=ray"],
            "choose one of: 'local'",
        ),
    ],
)
def test_problems_of_the_user_are_one_line(
    models: list[str], table: str | None, overrides: list[str], message: str
) -> None:
    Path("real.yaml").write_text("read: {layout: table, table: t.csv}\n")
    if table is not None:
        Path("t.csv").write_text(table)
    assert message in one_line(pairaug("run", "real.yaml", *models, *_sets(*overrides)))


def test_an_engine_that_is_not_there_is_named() -> None:
    Path("real.yaml").write_text("preset: demo\n")
    line = one_line(pairaug("run", "real.yaml", "--engine", "ray"))
    assert "engine in --set is 'ray'; choose one of: 'local'" in line


def test_settings_that_are_not_there_are_named() -> None:
    assert "there is no settings file nowhere.yaml" in one_line(pairaug("run", "nowhere.yaml"))


def test_a_folder_that_is_no_run_is_named() -> None:
    Path("empty").mkdir()
    assert "empty is not a run: it has no run.yaml" in one_line(pairaug("prune", "empty"))


def test_stopping_by_hand_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["pairaug.run"], "run", interrupted)
    result = pairaug("demo")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "pairaug: stopped; repeat the command to resume"


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys.modules["pairaug.run"], "run", broken)
    assert isinstance(pairaug("demo").exception, ZeroDivisionError)


def test_a_problem_within_the_run_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RunError("the disk is full: part-00000.parquet does not fit in runs/demo")

    monkeypatch.setattr(sys.modules["pairaug.run"], "run", full)
    assert "the disk is full" in one_line(pairaug("demo"))


def test_phantoms_are_written_and_read_as_a_table(models: list[str]) -> None:
    result = pairaug("phantom", "--out", "images", "--num-patients", "3", "--size", "32")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "images/reports.csv"
    Path("real.yaml").write_text(
        "read:\n  layout: table\n  table: images/reports.csv\n"
        "  columns: {patient_id: patient_id, view: view, split: split}\n"
    )
    result = pairaug("run", "real.yaml", *models, "--limit", "2")
    assert result.exit_code == 0, result.output
    record = json.loads(Path("runs/real/run.json").read_text())
    assert record["counts"]["read"]["in"] == 2


def test_the_doctor_finds_what_is_well(models: list[str]) -> None:
    result = pairaug("doctor", *models)
    assert result.exit_code == 0, result.output
    for name in ("settings", "device", "data", "model of generate", "token window", "disk"):
        assert f"ok      {name}: " in result.stdout


def test_the_doctor_finds_what_is_not(models: list[str]) -> None:
    Path("real.yaml").write_text("read: {layout: table, table: t.csv}\n")
    result = pairaug("doctor", "real.yaml", *models)
    assert result.exit_code == 1
    assert "problem data: " in result.stdout
    result = pairaug("doctor", "real.yaml", "--set", "sed=1")
    assert result.exit_code == 1
    assert "problem settings: unknown setting sed in --set; did you mean seed?" in result.stdout


@pytest.mark.parametrize("kind", ["generator", "clip", "classifier"])
def test_training_refuses_unknown_settings(kind: str) -> None:
    assert "unknown setting nonsense in --set" in one_line(
        pairaug("train", kind, "--set", "nonsense=1")
    )


@pytest.mark.parametrize("kind", ["counterfactual", "fidelity"])
def test_evaluation_refuses_wrong_values(kind: str) -> None:
    line = one_line(pairaug("evaluate", kind, "--set", "num_inference_steps=0"))
    assert "num_inference_steps in --set is 0; it should be greater than or equal to 1" in line


def test_run_takes_the_folder_of_a_run_and_resumes_it(models: list[str]) -> None:
    assert pairaug("demo", "--out", "there", *models).exit_code == 0
    Path("there/summary.html").unlink()
    result = pairaug("run", "there")
    assert result.exit_code == 0, result.output
    assert Path("there/summary.html").is_file()
    assert not Path("runs").exists()


def test_run_refuses_a_folder_that_holds_no_run() -> None:
    Path("data").mkdir()
    result = pairaug("run", "data")
    assert "data is a folder without run.yaml; give a settings file" in one_line(result)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_disk_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "runs/demo/curves.csv")

    monkeypatch.setattr(sys.modules["pairaug.run"], "run", refused)
    assert f"runs/demo/curves.csv: {os.strerror(number)}" in one_line(pairaug("demo"))
