"""Runs and exports of an earlier PairAug: every command says in one line what to do, or works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pairaug.cli import app
from pairaug.errors import DataError
from pairaug.run import RunFolder
from pairaug.train.clip.sources import PairSource, identity_of
from support.earlier_layout import as_before

SAYS = "was written by an earlier PairAug"
STAGES = ("read", "rewrite", "generate", "edit", "score", "prune", "export", "summarize")
RUN_DATA = "--set data.layout=run --set data.run=old"
COMMANDS = (
    "run old",
    "run old/run.yaml",
    "run old/run.yaml --dry-run",
    "run old --set edit.num_inference_steps=3",
    "export old --to folder",
    "train clip clip.yaml --out clip",
    "train generator --set data.layout=run --set data.run=old --out generator",
    f"evaluate zero-shot --set models=[scorer] {RUN_DATA}",
    f"evaluate linear-probe --set model=scorer {RUN_DATA}",
    f"evaluate retrieval --set model=scorer {RUN_DATA}",
    "experiment utility utility.yaml --out finished-before",
    "experiment pruning experiment.yaml --out finished-before",
    *(f"{stage} old" for stage in STAGES),
)
WITHOUT_A_RECORD = (
    "run old/run.yaml",
    "score old",
    "prune old",
    "export old",
    "summarize old",
    "train clip clip.yaml --out clip",
    f"evaluate retrieval --set model=scorer {RUN_DATA}",
)


@pytest.fixture(scope="module", params=[1, 2], ids=["layout 1", "layout 2"])
def workplace(
    request: pytest.FixtureRequest,
    finished: RunFolder,
    tiny_scorer_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a run of an earlier layout, and settings that name it."""
    folder = tmp_path_factory.mktemp("earlier")
    as_before(finished.path, folder / "old", request.param)
    (folder / "scorer").symlink_to(tiny_scorer_folder)
    as_before(finished.path, folder / "finished-before" / "run", request.param)
    (folder / "clip.yaml").write_text(yaml.safe_dump({"sources": [{"run": "old"}]}))
    settings = {
        "run": yaml.safe_load((finished.path / "run.yaml").read_text(encoding="utf-8")),
        "num_seeds": 1,
        "train": {"sources": [{"run": "old"}]},
        "data": {"layout": "run", "run": str(finished.path)},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(settings))
    utility = {**settings, "arms": ["real_matched_steps"]}
    (folder / "utility.yaml").write_text(yaml.safe_dump(utility))
    return folder


def _says_what_to_do(command: str) -> None:
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("pairaug: ")
    assert SAYS in result.stderr
    assert "NEW_FOLDER" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_run_of_earlier_layout_raises(
    command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    before = sorted(path for path in (workplace / "old").rglob("*") if path.is_file())
    _says_what_to_do(command)
    assert sorted(path for path in (workplace / "old").rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("command", WITHOUT_A_RECORD)
def test_parts_of_earlier_layout_raise(
    command: str, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(workplace / "old", tmp_path / "old")
    shutil.copy(workplace / "clip.yaml", tmp_path)
    (tmp_path / "scorer").symlink_to(workplace / "scorer")
    (tmp_path / "old" / "run.json").unlink()
    monkeypatch.chdir(tmp_path)
    _says_what_to_do(command)


def test_doctor_reports_earlier_layout(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    result = CliRunner().invoke(app, ["doctor", "old"])
    assert result.exit_code == 1
    assert result.output.count(SAYS) == 1


def test_earlier_export(finished: RunFolder, tmp_path: Path) -> None:
    export = tmp_path / "export"
    shutil.copytree(finished.path / "export", export)
    record = json.loads((export / "export.json").read_text(encoding="utf-8"))
    (export / "export.json").write_text(json.dumps(record), encoding="utf-8")
    identity_of(PairSource(export=export), 0)

    images = tmp_path / "folder" / "validation" / "00000"
    images.mkdir(parents=True)
    (tmp_path / "folder" / "validation.csv").write_text("file,report\n", encoding="utf-8")
    with pytest.raises(DataError, match="neither Parquet files nor WebDataset shards"):
        identity_of(PairSource(export=tmp_path / "folder"), 0)
