"""Texts split into as many windows as they need, and the alignment of two such texts.

Token ids and positions only; `text.py` encodes the windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pairaug.diffusion.alignment import Alignment, AlignmentKind, align

# Preference of a token as the first of a window: the highest in reach is used.
INSIDE_WORD, AT_WORD, AT_SENTENCE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of one text in windows of `size` positions, one after the other.

    A window is the begin token, its part of the text's own tokens, the end token, and padding.
    `words` are the text's own tokens; window k holds those from `starts[k]` on.
    """

    words: tuple[int, ...]
    starts: tuple[int, ...]
    size: int

    @property
    def num_windows(self) -> int:
        return len(self.starts)

    def windows(self) -> list[tuple[int, ...]]:
        """The text's own tokens in each window."""
        stops = (*self.starts[1:], len(self.words))
        return [self.words[start:stop] for start, stop in zip(self.starts, stops, strict=True)]

    def padded(self, num_windows: int) -> Layout:
        """The same with windows of the empty text after it, `num_windows` in all."""
        missing = num_windows - self.num_windows
        return replace(self, starts=self.starts + (len(self.words),) * missing)

    def word_positions(self) -> list[int]:
        """The position of each of `words`."""
        return [
            window * self.size + 1 + index
            for window, words in enumerate(self.windows())
            for index in range(len(words))
        ]

    def end_positions(self) -> list[int]:
        """The position of each window's end token; padding follows it."""
        windows = enumerate(self.windows())
        return [window * self.size + 1 + len(words) for window, words in windows]

    def token_positions(self) -> list[int]:
        """All positions that are not padding."""
        ends = enumerate(self.end_positions())
        return [place for window, end in ends for place in range(window * self.size, end + 1)]


def lay_out(words: Sequence[int], bounds: Sequence[int], size: int) -> Layout:
    """`words` in windows of `size` positions, each as full as a good split allows.

    `bounds` holds the preference of each token as the first of a window. Sentences stay whole where
    they fit, so that no "no" is parted from what it denies; then words. No token is left out.
    """
    room = size - 2
    starts = [0]
    while len(words) - starts[-1] > room:
        in_reach = range(starts[-1] + room, starts[-1], -1)
        # The first of the best, so the latest.
        starts.append(max(in_reach, key=lambda place: bounds[place]))
    return Layout(tuple(words), tuple(starts), size)


def align_layouts(kind: AlignmentKind, source: Layout, edited: Layout) -> Alignment:
    """The alignment of two texts over all positions; both have the same number of windows.

    Words align across windows, as by `align`. The begin token, end token and padding of a window
    take the maps of the same window: begin of begin, end of end, padding of its position.
    """
    length = max(len(source.words), len(edited.words))
    mapping_of_words, alpha_of_words = align(kind, source.words, edited.words, length)
    old, new = _places(source.word_positions()), _places(edited.word_positions())
    num_positions = edited.num_windows * edited.size
    mapping, alpha = torch.zeros(num_positions, num_positions), torch.ones(num_positions)
    mapping[old[:, None], new] = mapping_of_words[: len(old), : len(new)]
    alpha[new] = alpha_of_words[: len(new)]
    ends = zip(source.end_positions(), edited.end_positions(), strict=True)
    for window, (source_end, edited_end) in enumerate(ends):
        begin = window * edited.size
        padding = torch.arange(edited_end + 1, begin + edited.size)
        mapping[begin, begin] = mapping[source_end, edited_end] = 1.0
        mapping[padding, padding] = 1.0
    return Alignment(mapping, alpha)


def batches_by(counts: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices of equal counts together, in order, at most `size` at a time; small counts first.

    Padding with windows changes the conditioning, so texts with different numbers of windows must
    not share a batch: an image would depend on its neighbours.
    """
    for count in sorted(set(counts)):
        places = [place for place, other in enumerate(counts) if other == count]
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _places(positions: Sequence[int]) -> Tensor:
    return torch.tensor(positions, dtype=torch.int64)
