"""Pages, help, settings and messages have none of the words in docs/words.txt."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = dict(
    line.split(": ", 1)
    for line in (ROOT / "docs" / "words.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
_WORDS = re.compile(rf"(?<![\w'-])({'|'.join(map(re.escape, WORDS))})(?![\w-])", re.IGNORECASE)
_PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.ipynb")),
    *sorted((ROOT / "src").rglob("*.html")),
]
_SOURCES = sorted((ROOT / "src" / "pairaug").rglob("*.py"))

# A string that is a pattern or a list of words over reports holds radiologists' words, not ours;
# SQL holds the names of columns in files that exist.
_PATTERN = re.compile(r"\\[bswd]|\(\?|\||^(?:CREATE|INSERT|SELECT) ")
_VOCABULARIES = {"findings/language.py", "findings/image_words.py", "phantom/phrases.py"}


def found_in(text: str) -> list[str]:
    return [match.group(1).lower() for match in _WORDS.finditer(text)]


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, and other strings of at least three words, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if len(text.split()) >= 3 and not _PATTERN.search(text):
                yield node.lineno, text


@pytest.mark.parametrize("path", _PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_has_no_word_of_the_list(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [(number, word) for number, line in enumerate(lines, 1) for word in found_in(line)]
    assert not found, "\n".join(f"{path.name}:{at}: {word}: {WORDS[word]}" for at, word in found)


def test_help_settings_messages_and_docstrings_have_no_word_of_the_list() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}: {WORDS[word]}"
        for path in _SOURCES
        if str(path.relative_to(ROOT / "src" / "pairaug")) not in _VOCABULARIES
        for line, text in texts_of(path)
        for word in found_in(text)
    ]
    assert not found, "\n".join(found)


def test_a_word_of_the_list_is_found_inside_a_sentence_and_not_inside_a_word() -> None:
    assert found_in("The Verdict is drawn anew.") == ["verdict", "drawn anew"]
    assert found_in("judgement, untold, verdict-like") == []
