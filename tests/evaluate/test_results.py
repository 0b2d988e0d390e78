"""Results on disk."""

from __future__ import annotations

import json

import pytest

from pairaug.errors import RunError
from pairaug.evaluate.results import text_table, write_result


def test_columns_line_up():
    table = text_table(("name", "n"), [["a", "1"], ["longer", "100"]])
    assert table.splitlines() == [
        "name      n",
        "------  ---",
        "a         1",
        "longer  100",
    ]


def test_table_beside_json(tmp_path):
    path = write_result(tmp_path / "new" / "folder", "fidelity", {"a": 1}, "table")
    assert path.name == "fidelity.json"
    assert json.loads(path.read_text()) == {"a": 1}
    assert path.with_suffix(".txt").read_text() == "table\n"
    assert len(list(path.parent.iterdir())) == 2


def test_nan_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path, "fidelity", {"a": float("nan")}, "table")


def test_unwritable_folder(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*fidelity\.txt"):
        write_result(tmp_path / "out", "fidelity", {}, "")
