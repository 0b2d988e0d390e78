"""Reports as prompts: marks removed, and shortened at sentence bounds where they are too long.

Strings only. Nothing is cut in silence: a `Prompt` says how much of the report it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pairaug.findings import extract
from pairaug.findings.sentences import sentences

# De-identification marks of MIMIC-CXR (`___`) and Open-i (`XXXX`). Prompts that hold them are the
# most memorised ones (arXiv 2502.07516), so they are removed here again, whatever came before.
_MARKS = re.compile(r"_{2,}|\b[Xx]{3,}\b")
_SPACE_BEFORE_POINT = re.compile(r"\s+([.,;:!?])")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that fits the text encoder, and what it took to make it fit.

    `num_tokens` counts both special tokens. `truncated` is True where anything of the report was
    left out: `left_out_sentences` whole ones, or words off the end of the one that is left.
    """

    text: str
    num_tokens: int
    truncated: bool = False
    left_out_sentences: int = 0


def without_marks(text: str) -> str:
    """`text` on one line, without de-identification marks."""
    return _SPACE_BEFORE_POINT.sub(r"\1", " ".join(_MARKS.sub(" ", text).split())).strip()


def fit_prompt(report: str, count_tokens: Callable[[str], int], window: int) -> Prompt:
    """The report as a prompt of at most `window` tokens.

    If it is too long, sentences that only deny findings go first, the last of them before the
    others, then sentences from the end; of a single sentence that is too long, words from the end.
    """
    text = without_marks(report)
    num_tokens = count_tokens(text)
    if num_tokens <= window:
        return Prompt(text, num_tokens)
    kept = [text[span.start : span.end] for span in sentences(text)] or [text]
    num_sentences = len(kept)
    order = sorted(range(len(kept)), key=lambda index: (not _only_denies(kept[index]), -index))
    remaining = dict(enumerate(kept))
    for index in order:
        shortened = " ".join(remaining.values())
        if len(remaining) == 1 or count_tokens(shortened) <= window:
            break
        del remaining[index]
    shortened = _cut_words(" ".join(remaining.values()), count_tokens, window)
    return Prompt(
        shortened,
        count_tokens(shortened),
        truncated=True,
        left_out_sentences=num_sentences - len(remaining),
    )


def _only_denies(sentence: str) -> bool:
    statements = extract(sentence)
    return bool(statements) and all(
        statement.presence == "absent" or statement.finding == "no finding"
        for statement in statements
    )


def _cut_words(text: str, count_tokens: Callable[[str], int], window: int) -> str:
    """The longest start of `text`, in whole words, that fits."""
    words = text.split()
    fits, too_long = 0, len(words) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count_tokens(" ".join(words[:middle])) <= window:
            fits = middle
        else:
            too_long = middle
    return " ".join(words[:fits])
