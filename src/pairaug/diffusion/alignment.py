"""Alignment of the source report's tokens with those of the edited report.

A token without a counterpart keeps its own attention map; the others take the source's. Token ids
come in as plain integers, with both special tokens and without padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

AlignmentKind = Literal["refine", "replace"]


class Alignment(NamedTuple):
    """The weights that turn the source's attention maps into those of the edited report.

    Column j of `mapping` holds the weights of the source's maps for token j of the edited report;
    `alpha` is 1 if the token takes them and 0 if it keeps its own map:

        mixed[:, j] = alpha_j * (source_maps @ mapping)[:, j] + (1 - alpha_j) * own_maps[:, j]
    """

    mapping: Float[Tensor, "source_token edited_token"]
    alpha: Float[Tensor, " edited_token"]


def align(
    kind: AlignmentKind, source: Sequence[int], edited: Sequence[int], window: int
) -> Alignment:
    """The alignment of two token sequences, each padded to `window`."""
    return (replace if kind == "replace" else refine)(source, edited, window)


def refine(source: Sequence[int], edited: Sequence[int], window: int) -> Alignment:
    """An alignment in which shared tokens take the source's maps and new tokens keep their own.

    Shared tokens are the matches of a global alignment (gap 0, match 1, mismatch -1), as in
    prompt-to-prompt's `AttentionRefine`. A padding position takes the source's map of the same
    position.
    """
    mapping, alpha = _padding(len(edited), window)
    for position, match in enumerate(matched_tokens(source, edited)):
        if match is not None:
            mapping[match, position] = 1.0
            alpha[position] = 1.0
    return Alignment(mapping, alpha)


def replace(source: Sequence[int], edited: Sequence[int], window: int) -> Alignment:
    """An alignment as by `refine`, in which replaced tokens also take the source's maps.

    A span between two shared tokens that is empty on neither side counts as replaced. In spans of
    equal length, each new token takes the map of the token that it replaces. Otherwise each new
    token takes the sum of the replaced tokens' maps over the number of new tokens, which keeps the
    attention that the span receives, as prompt-to-prompt's `AttentionReplace` does. Pure insertions
    keep their own maps.
    """
    mapping, alpha = refine(source, edited, window)
    for old, new in replaced_spans(source, edited):
        alpha[new.start : new.stop] = 1.0
        if len(old) == len(new):
            for position, replaced in zip(new, old, strict=True):
                mapping[replaced, position] = 1.0
        else:
            mapping[old.start : old.stop, new.start : new.stop] = 1.0 / len(new)
    return Alignment(mapping, alpha)


def matched_tokens(source: Sequence[int], edited: Sequence[int]) -> list[int | None]:
    """The position of the matching source token for each token of `edited`, or None.

    A global alignment with gap 0, match 1 and mismatch -1. Of several best alignments, a gap in the
    source is preferred to a gap in the edited text, and that to a match, going back from the end,
    as in the authors' code.
    """
    outer = _matched_around_one_change(source, edited)
    return _needleman_wunsch(source, edited) if outer is None else outer


def _matched_around_one_change(
    source: Sequence[int], edited: Sequence[int]
) -> list[int | None] | None:
    """The alignment in linear time if only one span differs; None if it may not be the best.

    The tokens before and after the span match one to one. No other alignment is as good if the
    span's tokens, on either side, occur nowhere in the other text.
    """
    shorter = min(len(source), len(edited))
    start = next((i for i in range(shorter) if source[i] != edited[i]), shorter)
    end = next(
        (i for i in range(shorter - start) if source[-1 - i] != edited[-1 - i]), shorter - start
    )
    old, new = source[start : len(source) - end], edited[start : len(edited) - end]
    if not set(old).isdisjoint(edited) or not set(new).isdisjoint(source):
        return None
    tail = range(len(source) - end, len(source))
    return [*range(start), *([None] * len(new)), *tail]


def _needleman_wunsch(source: Sequence[int], edited: Sequence[int]) -> list[int | None]:
    """The alignment in quadratic time, for any two texts."""
    rows, columns = len(source) + 1, len(edited) + 1
    score = [[0] * columns for _ in range(rows)]
    for i in range(1, rows):
        above, current, token = score[i - 1], score[i], source[i - 1]
        for j in range(1, columns):
            diagonal = above[j - 1] + (1 if edited[j - 1] == token else -1)
            current[j] = max(current[j - 1], above[j], diagonal)
    matches: list[int | None] = [None] * len(edited)
    i, j = len(source), len(edited)
    while i > 0 and j > 0:
        if score[i][j] == score[i][j - 1]:
            j -= 1
        elif score[i][j] == score[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            matches[j] = i
    return matches


def replaced_spans(source: Sequence[int], edited: Sequence[int]) -> list[tuple[range, range]]:
    """Token ranges of `source` and `edited`, neither empty, where one replaces the other."""
    spans: list[tuple[range, range]] = []
    old_start = new_start = 0
    anchors = [*enumerate(matched_tokens(source, edited)), (len(edited), len(source))]
    for position, match in anchors:
        if match is None:
            continue
        old, new = range(old_start, match), range(new_start, position)
        if old and new:
            spans.append((old, new))
        old_start, new_start = match + 1, position + 1
    return spans


def _padding(num_tokens: int, window: int) -> tuple[Tensor, Tensor]:
    """A mapping and alpha in which only the padding positions are set, each to itself."""
    is_padding = torch.arange(window) >= num_tokens
    return torch.diag(is_padding.float()), is_padding.float()
