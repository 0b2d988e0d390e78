"""Reports as prompts: marks removed, and made to fit, as a policy says, where they are too long.

Strings only. Nothing is cut in silence: a `Prompt` says how much of the report it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pairaug.errors import DataError
from pairaug.findings import extract
from pairaug.findings.sentences import sentences

LongReport = Literal["chunk", "shorten", "error"]

# De-identification marks of MIMIC-CXR (`___`) and Open-i (`XXXX`). Prompts that hold them are the
# most memorised ones (arXiv 2502.07516), so they are removed here again, whatever came before.
_MARKS = re.compile(r"_{2,}|\b[Xx]{3,}\b")
_SPACE_BEFORE_POINT = re.compile(r"\s+([.,;:!?])")


class ReportTooLongError(DataError):
    """A report exceeds the text encoder's window, and is to be neither shortened nor chunked."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that the text encoder takes, and what it took to make it fit.

    `num_tokens` counts a begin and an end token, of however many windows. `truncated` is True where
    anything of the report was left out: `left_out_sentences` whole ones, or words off the end of
    the one that is left.
    """

    text: str
    num_tokens: int
    truncated: bool = False
    left_out_sentences: int = 0
    num_windows: int = 1


def without_marks(text: str) -> str:
    """`text` on one line, without de-identification marks."""
    return _SPACE_BEFORE_POINT.sub(r"\1", " ".join(_MARKS.sub(" ", text).split())).strip()


def fit_prompt(
    report: str,
    count_tokens: Callable[[str], int],
    window: int,
    long_report: LongReport = "shorten",
) -> Prompt:
    """The report as a prompt; where it has more than `window` tokens, as `long_report` says.

    `chunk` leaves it whole, for as many windows as it takes (`num_windows` is the encoder's to
    count). `error` raises `ReportTooLongError`. `shorten` makes it fit: sentences that only deny
    findings go first, the last of them before the others, then sentences from the end; of a single
    sentence that is too long, words from the end.
    """
    text = without_marks(report)
    num_tokens = count_tokens(text)
    if num_tokens <= window or long_report == "chunk":
        return Prompt(text, num_tokens)
    if long_report == "error":
        raise ReportTooLongError(
            f"the report has {num_tokens} tokens, the text encoder's window {window}"
        )
    return _shortened(text, count_tokens, window)


def _shortened(text: str, count_tokens: Callable[[str], int], window: int) -> Prompt:
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
