"""No text of a report, patient's id or secret is in a message, log, record or page that is not
meant to hold it: marks are planted in every field of every reader, and searched for in all output.

Meant to hold them are, by docs/data-care.md, the parts, the export's data and, for report text,
`run.yaml` (examples) and `summary.html`.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
import typing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from pairaug.cli import app
from pairaug.config import as_yaml, load_settings
from pairaug.errors import PairAugError
from pairaug.manifest import part_paths
from pairaug.readers import ReaderSettings
from support.fuzz.checks import read_source
from support.planted_trees import MARK, PLANTED, breakages, broken, files_of, table

WITHOUT_FILES = {"phantom"}

OutputOf = Callable[..., str]


def test_every_reader_has_a_planted_tree() -> None:
    known = {
        typing.get_args(kind.model_fields["layout"].annotation)[0]
        for kind in typing.get_args(ReaderSettings)
    }
    assert known - WITHOUT_FILES <= PLANTED.keys()


@pytest.fixture
def output_of(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> OutputOf:
    """Runs a command and returns all that it prints, logs and raises."""
    caplog.set_level(logging.DEBUG, "pairaug")

    def output(*arguments: object) -> str:
        caplog.clear()
        raised = ""
        try:
            app([str(each) for each in arguments], standalone_mode=False)
        except typer.Exit:
            # With what it was raised from, as a log that is given the exception would have it.
            raised = traceback.format_exc()
        printed = capfd.readouterr()
        return "\n".join([printed.out, printed.err, caplog.text, raised])

    return output


def _start(folder: Path, read: dict[str, Any], **more: str) -> Path:
    """The folder of a run that has not begun."""
    values = {**{f"read.{name}": value for name, value in _flat(read)}, **more}
    settings = load_settings(
        preset="demo",
        overrides=["device=cpu", *(f"{name}={value}" for name, value in values.items())],
    )
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text(as_yaml(settings), encoding="utf-8")
    return folder


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{above}{name}.")
        else:
            shown = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
            found.append((above + name, shown))
    return found


def _records(run: Path) -> str:
    """What a run's own files say that hold no text and no ids."""
    said = [
        path.read_text(encoding="utf-8")
        for path in (run / "run.json", run / "audit.jsonl", run / "run.yaml")
        if path.exists()
    ]
    for part in part_paths(run / "read"):
        columns = pq.read_table(part, columns=["drop_stage", "drop_reason", "drop_detail"])
        said.append(str(columns.to_pydict()))
    return "\n".join(said)


def _without_marks(output: str, where: str) -> None:
    found = MARK.search(output)
    assert not found, f"{where}: {output[max(0, found.start() - 600) : found.end() + 100]}"


@pytest.mark.parametrize("layout", PLANTED)
def test_read_prints_no_texts(layout: str, tmp_path: Path, output_of: OutputOf) -> None:
    root = tmp_path / "data"
    read = PLANTED[layout](root)
    output = output_of("read", _start(tmp_path / "whole", read))
    assert "read" in output
    _without_marks(output + _records(tmp_path / "whole"), layout)
    assert MARK.search(str(pq.read_table(part_paths(tmp_path / "whole" / "read")[0]).to_pydict()))


@pytest.mark.parametrize("layout", ["mimic-cxr", "table"])
def test_failing_command_prints_no_texts(layout: str, tmp_path: Path, output_of: OutputOf) -> None:
    """Of all other layouts and breakages the next test looks at what is raised, logged, dropped."""
    root = tmp_path / "data"
    read = PLANTED[layout](root)
    # The first table or list of a tree, with something wrong in a cell.
    path = next(path for path in files_of(root) if path.suffix not in (".png", ".jpg", ".dcm"))
    kind, content = breakages(path)[-1]
    run = _start(tmp_path / "broken", read)
    with broken(path, content):
        _without_marks(output_of("read", run) + _records(run), f"{layout}, {kind}")


@pytest.mark.parametrize("layout", PLANTED)
def test_broken_source_prints_no_texts(layout: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    read = PLANTED[layout](root)
    for path in files_of(root):
        for _, content in breakages(path):
            with broken(path, content), suppress(PairAugError):
                # Asserts that no text is printed.
                read_source(read)


@pytest.fixture
def models(tiny_generator_folder: Path, tiny_scorer_folder: Path) -> dict[str, str]:
    """The settings of a run that takes a moment."""
    return {
        "generate.model": str(tiny_generator_folder),
        "generate.num_inference_steps": "2",
        "edit.model": str(tiny_generator_folder),
        "edit.num_inference_steps": "2",
        "score.model": str(tiny_scorer_folder),
        "rewrite.min_words": "1",
    }


def test_doctor_and_dry_run_print_no_texts(
    tmp_path: Path, output_of: OutputOf, models: dict[str, str]
) -> None:
    run = _start(tmp_path / "run", table(tmp_path / "data", "csv"), **models)
    for label, split in (("zqxjlabel zqxjtext", "train"), ("1", "zqxjpatient0")):
        table(tmp_path / "data", "csv", edema=label, split=split)
        output = output_of("doctor", run / "run.yaml") + output_of(
            "run", run / "run.yaml", "--dry-run"
        )
        assert "run.yaml" in output
        _without_marks(output, f"{label}, {split}")


def test_whole_run_prints_no_texts(
    tmp_path: Path, output_of: OutputOf, models: dict[str, str]
) -> None:
    findings = "Zqxjmild pulmonary edema. Zqxjno pleural effusion."
    read = table(tmp_path / "data", "csv", findings=findings)
    run = _start(
        tmp_path / "run", read, **models, **{"export.formats": "[parquet, webdataset, folder]"}
    )
    output = output_of("run", run / "run.yaml")
    output += output_of("prune", run, "--set", "prune.inter.rule=quantile")
    output += (
        output_of("export", run) + output_of("summarize", run) + output_of("prune", run, "--sweep")
    )
    assert (run / "summary.html").is_file()
    output += (run / "export" / "README.md").read_text(encoding="utf-8")
    # The export is data, and its files are named by pairs' ids, which it lists.
    listed = json.loads((run / "export" / "export.json").read_text(encoding="utf-8"))
    output += str({name: value for name, value in listed.items() if name != "files"})
    _without_marks(output + _records(run), "a whole run")
    # The page may show reports and pairs' ids, and names no patient.
    page = (run / "summary.html").read_text(encoding="utf-8").lower()
    assert not re.search("zqxj(patient|study|image)", page)


SECRET = "sk-zqxjsecret0123456789"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rewrite.base_url", f"http://zqxjuser:{SECRET}@127.0.0.1:9/v1"),
        ("rewrite.base_url", f"http://127.0.0.1:9/v1?key={SECRET}"),
        ("rewrite.api_key_env", SECRET),
        ("rewrite.model", SECRET),
        ("rewrite.api_key", SECRET),
        ("rewrite.model", "tiny"),
    ],
)
def test_secrets_are_not_printed(
    name: str, value: str, tmp_path: Path, output_of: OutputOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    sets = ["rewrite.backend=openai", "rewrite.base_url=http://127.0.0.1:9/v1",
            "rewrite.model=tiny", "rewrite.retries=0", f"{name}={value}"]  # fmt: skip
    options = [text for each in sets for text in ("--set", each)]
    output = output_of("demo", "--out", tmp_path / "run", *options)
    assert output.strip()
    _without_marks(output + (_records(tmp_path / "run")), name)
