"""Texts in several windows, by token numbers: where they are cut, and how two of them align."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairaug.diffusion.alignment import align
from pairaug.diffusion.windows import (
    AT_SENTENCE,
    AT_WORD,
    INSIDE_WORD,
    Layout,
    align_layouts,
    batches_by,
    lay_out,
)
from support.explicit_maps import mapper_over_windows

BEGIN, END = 0, 1
SIZE = 6
WORDS = st.lists(st.integers(2, 5), max_size=11)


def layout(words: list[int], num_windows: int | None = None) -> Layout:
    made = lay_out(words, [AT_WORD] * len(words), SIZE)
    return made if num_windows is None else made.padded(num_windows)


def both(source: list[int], edited: list[int]) -> tuple[Layout, Layout]:
    num_windows = max(layout(source).num_windows, layout(edited).num_windows)
    return layout(source, num_windows), layout(edited, num_windows)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        # As full as it goes, where each token is a word.
        ([AT_WORD] * 10, [(10, 11, 12, 13), (14, 15, 16, 17), (18, 19)]),
        # A word of three tokens is not cut.
        (
            [AT_WORD] * 3 + [AT_WORD, INSIDE_WORD, INSIDE_WORD] + [AT_WORD] * 4,
            [(10, 11, 12), (13, 14, 15, 16), (17, 18, 19)],
        ),
        # Nor a sentence that fits, though the window could hold more of it.
        (
            [AT_SENTENCE, AT_WORD, AT_SENTENCE, *[AT_WORD] * 3, AT_SENTENCE, *[AT_WORD] * 3],
            [(10, 11), (12, 13, 14, 15), (16, 17, 18, 19)],
        ),
        # A word that is longer than a window has to be.
        ([AT_WORD, *[INSIDE_WORD] * 9], [(10, 11, 12, 13), (14, 15, 16, 17), (18, 19)]),
    ],
)
def test_windows_begin_at_the_best_place_in_reach(
    bounds: list[int], expected: list[tuple[int, ...]]
) -> None:
    assert lay_out(range(10, 20), bounds, SIZE).windows() == expected


@given(WORDS, st.data())
def test_no_token_is_left_out_and_every_window_fits(words: list[int], data: st.DataObject) -> None:
    bounds = [data.draw(st.sampled_from([INSIDE_WORD, AT_WORD, AT_SENTENCE])) for _ in words]
    made = lay_out(words, bounds, SIZE)
    assert [word for window in made.windows() for word in window] == words
    assert all(len(window) <= SIZE - 2 for window in made.windows())
    assert all(made.windows()) or made.windows() == [()]


def test_positions_are_counted_over_all_windows() -> None:
    made = layout([10, 11, 12, 13, 14], num_windows=3)
    assert made.windows() == [(10, 11, 12, 13), (14,), ()]
    assert made.word_positions() == [1, 2, 3, 4, 7]
    assert made.end_positions() == [5, 8, 13]
    assert made.token_positions() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13]


def test_an_alignment_over_two_windows() -> None:
    # [b 10 11 12 13 e] [b 14 e . . .]  ->  [b 20 10 11 12 e] [b 13 14 e . .]
    source, edited = both([10, 11, 12, 13, 14], [20, 10, 11, 12, 13, 14])
    mapping, alpha = align_layouts("refine", source, edited)
    columns = [column.nonzero().flatten().tolist() for column in mapping.T]
    assert columns == [[0], [], [1], [2], [3], [5], [6], [4], [7], [8], [10], [11]]
    assert alpha.tolist() == [1, 0, *[1] * 10]


def test_padding_windows_align_with_what_stands_where_they_do() -> None:
    # [b 10 11 12 13 e] [b 14 e . . .]  ->  [b 10 e . . .] [b e . . . .]
    source, edited = both([10, 11, 12, 13, 14], [10])
    mapping, alpha = align_layouts("refine", source, edited)
    columns = [column.nonzero().flatten().tolist() for column in mapping.T]
    assert columns == [[0], [1], [5], [3], [4], [5], [6], [8], [8], [9], [10], [11]]
    assert alpha.all()


def test_replace_keeps_the_attention_of_a_span_across_windows() -> None:
    source, edited = both([10, 11, 12, 13, 14], [10, 11, 20, 21, 22, 14])
    mapping, alpha = align_layouts("replace", source, edited)
    assert alpha.all()
    assert mapping[[3, 4]][:, [3, 4, 7]].eq(1 / 3).all()


@pytest.mark.parametrize("kind", ["refine", "replace"])
def test_equal_texts_are_the_identity(kind: str) -> None:
    text = layout([2, 3, 2, 3, 4, 4, 2, 3, 5])
    mapping, alpha = align_layouts(kind, text, text)
    assert torch.equal(mapping, torch.eye(3 * SIZE))
    assert alpha.all()


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_words_align_as_the_reference_has_it(old: list[int], new: list[int]) -> None:
    source, edited = both(old, new)
    mapping, alpha = align_layouts("refine", source, edited)
    expected, expected_alpha = mapper_over_windows(source.windows(), edited.windows(), SIZE)
    assert torch.equal(alpha, expected_alpha)
    assert torch.equal(mapping, expected)


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, st.sampled_from(["refine", "replace"]))
def test_one_window_aligns_as_its_tokens_do(old: list[int], new: list[int], kind: str) -> None:
    """The same numbers as without windows, to the last bit."""
    size = 16
    source, edited = (lay_out(words, [AT_WORD] * len(words), size) for words in (old, new))
    ids = [BEGIN, *old, END], [BEGIN, *new, END]
    actual, expected = align_layouts(kind, source, edited), align(kind, *ids, size)
    assert torch.equal(actual.mapping, expected.mapping)
    assert torch.equal(actual.alpha, expected.alpha)


def test_batches_hold_equal_counts_in_order() -> None:
    assert list(batches_by([1, 1, 1, 1, 1], 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches_by([2, 1, 2, 1, 1], 2)) == [[1, 3], [4], [0, 2]]
    assert list(batches_by([], 2)) == []
