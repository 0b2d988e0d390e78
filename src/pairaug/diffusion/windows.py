"""Texts laid out in windows, as many as they need, and the alignment of two texts laid out so.

Token ids and positions only: what encodes a window is `text.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.alignment import Alignment, AlignmentKind, align, unmatched

# How good a place is to begin a window at; the best one in reach is taken.
INSIDE_WORD, AT_WORD, AT_SENTENCE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of one text in windows of `size` positions, one after the other.

    A window is the begin token, its fraction of the text's own tokens, the end token, and padding.
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
        """Where each of `words` stands."""
        return [
            window * self.size + 1 + index
            for window, words in enumerate(self.windows())
            for index in range(len(words))
        ]

    def end_positions(self) -> list[int]:
        """Where the end token of each window stands; padding follows it."""
        windows = enumerate(self.windows())
        return [window * self.size + 1 + len(words) for window, words in windows]

    def token_positions(self) -> list[int]:
        """Every position that is not padding."""
        ends = enumerate(self.end_positions())
        return [place for window, end in ends for place in range(window * self.size, end + 1)]


def lay_out(words: Sequence[int], bounds: Sequence[int], size: int) -> Layout:
    """`words` in windows of `size` positions, each as full as its end at a good place allows.

    `bounds` says of each token how good a place it is to begin a window at. Sentences stay whole
    where they fit, so that no "no" is parted from what it denies; then words. No token is left out.
    """
    room = size - 2
    starts = [0]
    while len(words) - starts[-1] > room:
        in_reach = range(starts[-1] + room, starts[-1], -1)
        # The first of the best, so the latest.
        starts.append(max(in_reach, key=lambda place: bounds[place]))
    return Layout(tuple(words), tuple(starts), size)


def align_layouts(kind: AlignmentKind, source: Layout, edited: Layout) -> Alignment:
    """The alignment of two texts over all positions of their windows, which are as many.

    Words align across windows, as `align` has it. The begin and end token and the padding of a
    window take the maps of the same window's: begin of begin, end of end, padding of its position.
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


def unmatched_in_layouts(
    source: Layout, edited: Layout
) -> tuple[Float[Tensor, " source_token"], Float[Tensor, " edited_token"]]:
    """1 at the words of either text that the other has no counterpart for, 0 at the rest."""
    length = max(len(source.words), len(edited.words))
    sides = []
    for layout, of_words in zip(
        (source, edited), unmatched(source.words, edited.words, length), strict=True
    ):
        of_positions = torch.zeros(layout.num_windows * layout.size)
        of_positions[_places(layout.word_positions())] = of_words[: len(layout.words)]
        sides.append(of_positions)
    return sides[0], sides[1]


def batches_by(counts: Sequence[int], size: int) -> Iterator[list[int]]:
    """Places of equal counts together, in order, at most `size` at a time; small counts first.

    Padding with windows changes what an image is generated from, so texts of other lengths must not
    share a batch: an image would depend on its neighbours.
    """
    for count in sorted(set(counts)):
        places = [place for place, other in enumerate(counts) if other == count]
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _places(positions: Sequence[int]) -> Tensor:
    return torch.tensor(positions, dtype=torch.int64)
