"""Alignments of token sequences, worked out by hand and against the reference's own loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairaug.diffusion import alignment
from pairaug.diffusion.alignment import align, matched_tokens, replaced_spans
from support.explicit_maps import refine_mapper

START, END = 0, 1
TOKENS = st.lists(st.integers(2, 5), max_size=7).map(lambda inner: [START, *inner, END])


def columns(mapping: torch.Tensor) -> list[list[int]]:
    return [column.nonzero().flatten().tolist() for column in mapping.T]


def test_shared_tokens_match_and_new_ones_do_not() -> None:
    # "normal size of heart" -> "enlarged size of the heart"
    assert matched_tokens([0, 10, 11, 12, 13, 1], [0, 20, 11, 12, 21, 13, 1]) == [
        0,
        None,
        2,
        3,
        None,
        4,
        5,
    ]


def test_refine_keeps_a_new_token_to_itself_and_padding_in_place() -> None:
    mapping, alpha = align("refine", [0, 10, 11, 1], [0, 20, 11, 12, 1], window=7)
    assert alpha.tolist() == [1, 0, 1, 0, 1, 1, 1]
    assert columns(mapping) == [[0], [], [2], [], [3], [5], [6]]


def test_padding_of_a_shorter_edit_takes_the_position_that_the_reference_takes() -> None:
    mapping, alpha = align("refine", [0, 10, 11, 12, 1], [0, 12, 1], window=6)
    assert alpha.tolist() == [1] * 6
    # Positions 3 and 4 of the source still hold tokens; the reference maps padding there too.
    assert columns(mapping) == [[0], [3], [4], [3], [4], [5]]


def test_replace_maps_a_replaced_token_to_the_one_it_replaces() -> None:
    mapping, alpha = align("replace", [0, 10, 11, 1], [0, 20, 11, 1], window=5)
    assert alpha.tolist() == [1] * 5
    assert torch.equal(mapping, torch.eye(5))


def test_replace_maps_spans_of_equal_length_token_by_token() -> None:
    assert replaced_spans([0, 10, 11, 5, 1], [0, 20, 21, 5, 1]) == [(range(1, 3), range(1, 3))]
    mapping, alpha = align("replace", [0, 10, 11, 5, 1], [0, 20, 21, 5, 1], window=6)
    assert alpha.tolist() == [1] * 6
    assert torch.equal(mapping, torch.eye(6))


@pytest.mark.parametrize(
    ("source", "edited", "old", "new"),
    [
        ([0, 10, 11, 5, 1], [0, 20, 5, 1], [1, 2], [1]),
        ([0, 10, 5, 1], [0, 20, 21, 22, 5, 1], [1], [1, 2, 3]),
    ],
)
def test_replace_spreads_spans_of_other_lengths_and_keeps_their_attention(
    source: list[int], edited: list[int], old: list[int], new: list[int]
) -> None:
    assert [(list(a), list(b)) for a, b in replaced_spans(source, edited)] == [(old, new)]
    mapping, alpha = align("replace", source, edited, window=8)
    assert alpha[new].tolist() == [1.0] * len(new)
    assert torch.allclose(mapping[old][:, new].sum(dim=1), torch.ones(len(old)))
    assert torch.allclose(mapping[old][:, new], torch.tensor(1.0 / len(new)))


def test_replace_leaves_pure_insertions_and_deletions_alone() -> None:
    inserted, alpha = align("replace", [0, 10, 1], [0, 10, 20, 1], window=5)
    assert alpha.tolist() == [1, 1, 0, 1, 1]
    assert columns(inserted)[2] == []
    deleted, alpha = align("replace", [0, 10, 20, 1], [0, 10, 1], window=5)
    assert alpha.tolist() == [1] * 5
    assert columns(deleted)[:3] == [[0], [1], [3]]


def test_equal_reports_are_the_identity() -> None:
    for kind in ("refine", "replace"):
        mapping, alpha = align(kind, [0, 3, 4, 3, 1], [0, 3, 4, 3, 1], window=8)
        assert torch.equal(mapping, torch.eye(8))
        assert torch.equal(alpha, torch.ones(8))


@settings(max_examples=60, deadline=None)
@given(TOKENS, TOKENS)
def test_refine_agrees_with_the_reference(source: list[int], edited: list[int]) -> None:
    mapping, alpha = align("refine", source, edited, window=12)
    expected_mapping, expected_alpha = refine_mapper(source, edited, 12)
    assert torch.equal(alpha, expected_alpha)
    assert torch.equal(mapping * alpha, expected_mapping * expected_alpha)


@settings(max_examples=400)
@given(TOKENS, TOKENS)
def test_the_short_way_finds_what_the_long_one_does(source: list[int], edited: list[int]) -> None:
    assert matched_tokens(source, edited) == alignment._needleman_wunsch(source, edited)


@settings(max_examples=200)
@given(TOKENS, st.data())
def test_the_short_way_holds_where_one_span_is_replaced(source: list[int], data) -> None:
    start = data.draw(st.integers(1, len(source) - 1))
    stop = data.draw(st.integers(start, len(source) - 1))
    new = data.draw(st.lists(st.integers(4, 7), max_size=3))
    edited = [*source[:start], *new, *source[stop:]]
    assert matched_tokens(source, edited) == alignment._needleman_wunsch(source, edited)


def test_a_change_of_one_span_costs_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(alignment, "_needleman_wunsch")
    words = list(range(2, 3000))
    assert matched_tokens([0, *words, 1], [0, *words[:1000], 9000, *words[1002:], 1]) == [
        *range(1001),
        None,
        *range(1003, 3000),
    ]
    with pytest.raises(NameError):
        matched_tokens([0, 2, 2, 1], [0, 2, 1])
