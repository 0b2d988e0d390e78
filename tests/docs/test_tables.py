"""Every number on the pages of results and benchmarks has its data, with how it was measured."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = _load()
PAGES = [pytest.param(page, id=page.name) for page in TABLES.PAGES]
_MARKED = re.compile(r"<!-- table: (\S+) (\S+) -->.*?<!-- end -->", re.DOTALL)
# A decimal fraction or a percentage, with its sign; version numbers have two points.
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?\d[\d,]*\.\d+(?![\d.]*\.\d)(?: ?%)?|(?<![\w.])\d+(?:\.\d+)? ?%"
)


def _data_files() -> list[Path]:
    return sorted([*(DOCS / "results").glob("*.json"), *(DOCS / "benchmarks").glob("*.json")])


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_what_their_data_says(page: Path):
    assert page.read_text(encoding="utf-8") == TABLES.rendered(page), "run docs/tables.py"


@pytest.mark.parametrize("page", PAGES)
def test_no_table_stands_without_its_data(page: Path):
    rest = _MARKED.sub("", page.read_text(encoding="utf-8"))
    assert not [line for line in rest.splitlines() if line.startswith(("|", "```"))]


@pytest.mark.parametrize("path", _data_files(), ids=lambda path: path.name)
def test_data_says_how_it_was_measured(path: Path):
    measured = json.loads(path.read_text(encoding="utf-8"))["measured"]
    assert {"command", "commit", "hardware", "date"} <= set(measured)
    assert re.fullmatch(r"[0-9a-f]{7,40}", measured["commit"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", measured["date"])


def test_every_data_file_is_on_a_page():
    named = {
        (page.parent / match[1]).resolve()
        for page in DOCS.rglob("*.md")
        for match in _MARKED.finditer(page.read_text(encoding="utf-8"))
    }
    assert set(_data_files()) <= named


@pytest.mark.parametrize("page", PAGES)
def test_numbers_in_sentences_are_in_the_tables_or_the_data_of_their_section(page: Path):
    strangers = []
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        tables = list(_MARKED.finditer(section))
        values = [value for table in tables for value in _numbers(page.parent / table[1])]
        written = {_plain(number) for table in tables for number in _NUMBER.findall(table[0])}
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", _MARKED.sub("", section))
        strangers += [
            (section.splitlines()[0], number)
            for number in _NUMBER.findall(prose)
            if _plain(number) not in written and not _is_among(number, values)
        ]
    assert not strangers


def _plain(number: str) -> str:
    return number.replace(",", "").replace(" ", "").lstrip("+")


def _is_among(number: str, values: list[float]) -> bool:
    """True where some value, or a hundredth of the percentage, is `number` when rounded."""
    digits = _plain(number).rstrip("%")
    places = len(digits.partition(".")[2])
    scale = 100 if number.endswith("%") else 1
    # 95 % is the level of an interval and is stated with each estimate.
    return any(math.isclose(round(scale * v, places), float(digits)) for v in [*values, 0.95])


def _numbers(path: Path) -> Iterator[float]:
    def walk(value: Any) -> Iterator[float]:
        if isinstance(value, dict):
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)

    yield from walk(json.loads(path.read_text(encoding="utf-8")))


def test_a_sentence_that_disagrees_with_its_data_is_found():
    assert _is_among("0.144", [0.1436])
    assert _is_among("77 %", [0.7704])
    assert not _is_among("0.02", [0.0141])
    assert not _is_among("0.145", [0.1436])


def test_intervals_of_paired_seeds():
    """Student's t over four pairs, and Holm's correction, against scipy and by hand."""
    from scipy import stats

    differences = [0.1, 0.2, 0.3, 0.25]
    mean, low, high, p = TABLES.paired_t(differences)
    expected = stats.ttest_1samp(differences, 0.0)
    assert p == pytest.approx(expected.pvalue)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert mean == pytest.approx(0.2125)
    assert TABLES.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
