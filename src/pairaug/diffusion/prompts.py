"""Reports as prompts: marks removed, and made to fit, as a policy says, where they are too long.

Strings only. Nothing is cut in silence: a `Prompt` says how much of the report it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    the one that is left. Of an edit's two prompts, `left_out_of_both` of them stood in both.
    """

    text: str
    num_tokens: int
    truncated: bool = False
    left_out_sentences: int = 0
    num_windows: int = 1
    left_out_of_both: int = 0


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
        raise ReportTooLongError(_too_long(num_tokens, window))
    return _shortened(dict(enumerate(_sentences(text))), (), count_tokens, window)


def fit_prompts(
    source: str,
    edited: str,
    count_tokens: Callable[[str], int],
    window: int,
    long_report: LongReport = "shorten",
) -> tuple[Prompt, Prompt]:
    """An edit's two texts as prompts, which differ where the texts do and nowhere else.

    As `fit_prompt`, but where either side is too long, sentences that stand in both are left out of
    both, in its order, until both fit. Beyond that the prompts differ by more: a side that is still
    too long loses sentences of its own, and then words; and no side loses its only sentence.
    """
    texts = without_marks(source), without_marks(edited)
    counts = [count_tokens(text) for text in texts]
    if long_report != "shorten" or max(counts) <= window:
        for side, count in zip(("source", "edited"), counts, strict=True):
            if long_report == "error" and count > window:
                raise ReportTooLongError(f"{side}: {_too_long(count, window)}")
        return Prompt(texts[0], counts[0]), Prompt(texts[1], counts[1])
    before, after = (dict(enumerate(_sentences(text))) for text in texts)
    common = _common(before, after)
    num_left_out = 0
    for place, twin in common:
        is_long = any(count_tokens(_joined(side)) > window for side in (before, after))
        if not is_long or min(len(before), len(after)) == 1:
            break
        del before[place], after[twin]
        num_left_out += 1
    rest = common[num_left_out:]
    first = _shortened(before, [place for place, _ in rest], count_tokens, window)
    second = _shortened(after, [twin for _, twin in rest], count_tokens, window)
    return _without_common(first, num_left_out), _without_common(second, num_left_out)


def _common(source: dict[int, str], edited: dict[int, str]) -> list[tuple[int, int]]:
    """The places of sentences that stand in both, in the order in which they are left out."""
    free = dict(edited)
    pairs: dict[int, int] = {}
    for place, sentence in source.items():
        twin = next((other for other, text in free.items() if text == sentence), None)
        if twin is not None:
            del free[twin]
            pairs[place] = twin
    order = _least_first({place: source[place] for place in pairs})
    return [(place, pairs[place]) for place in order]


def _without_common(prompt: Prompt, num_left_out: int) -> Prompt:
    return replace(
        prompt,
        truncated=prompt.truncated or num_left_out > 0,
        left_out_sentences=prompt.left_out_sentences + num_left_out,
        left_out_of_both=num_left_out,
    )


def _too_long(num_tokens: int, window: int) -> str:
    return f"the report has {num_tokens} tokens, the text encoder's window {window}"


def _sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)] or [text]


def _joined(sentences_by_place: dict[int, str]) -> str:
    return " ".join(sentences_by_place.values())


def _least_first(remaining: dict[int, str]) -> list[int]:
    """The places of sentences as they are left out: denials, the last first, then from the end."""
    return sorted(remaining, key=lambda place: (not _only_denies(remaining[place]), -place))


def _shortened(
    remaining: dict[int, str],
    first_to_go: Sequence[int],
    count_tokens: Callable[[str], int],
    window: int,
) -> Prompt:
    """The sentences as a prompt that fits; those of `first_to_go` go before the others."""
    remaining, num_sentences = dict(remaining), len(remaining)
    others = {place: text for place, text in remaining.items() if place not in first_to_go}
    for place in (*first_to_go, *_least_first(others)):
        if len(remaining) == 1 or count_tokens(_joined(remaining)) <= window:
            break
        del remaining[place]
    whole = _joined(remaining)
    text = _cut_words(whole, count_tokens, window)
    num_left_out = num_sentences - len(remaining)
    return Prompt(
        text,
        count_tokens(text),
        truncated=num_left_out > 0 or text != whole,
        left_out_sentences=num_left_out,
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
