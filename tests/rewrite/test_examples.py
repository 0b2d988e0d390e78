"""The page of examples has the rules' output, and all examples are accepted."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples", FOLDER / "rewrite_examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_rules_output():
    examples = _load()
    page = examples.page()
    assert examples.PAGE.read_text(encoding="utf-8") == page, "run docs/how-to/rewrite_examples.py"
    assert len(examples.REPORTS) == len(set(examples.REPORTS)) == 50
    assert page.count("*") == 0, "an example was dropped"
