from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.summary.report_diff import mark_difference

WORDS = st.lists(st.sampled_from(["a", "b", "c.", ",", "no", "left", "."]), max_size=14)


def test_equal_reports_have_no_marks():
    text = "No effusion. The heart is normal."
    assert mark_difference(text, text) == (text, text)


def test_case_does_not_count_as_a_change():
    assert "<" not in "".join(mark_difference("Mild edema.", "mild edema."))


def test_a_replaced_word_is_marked_on_both_sides():
    before, after = mark_difference("Heart size is normal today.", "Heart size is enlarged today.")
    assert before == "Heart size is <del>normal</del> today."
    assert after == "Heart size is <ins>enlarged</ins> today."


def test_an_added_sentence_is_marked_with_its_own_full_stop():
    _, after = mark_difference("No mass. No edema.", "No mass. Left effusion. No edema.")
    assert after == "No mass. <ins>Left effusion.</ins> No edema."


def test_a_removed_sentence_is_marked_with_its_own_full_stop():
    before, _ = mark_difference("No mass. Left effusion. No edema.", "No mass. No edema.")
    assert before == "No mass. <del>Left effusion.</del> No edema."


def test_a_chance_word_between_long_changes_is_part_of_the_change():
    before, _ = mark_difference(
        "Large right effusion and the severe left consolidation.",
        "Normal heart size with the clear lungs throughout today.",
    )
    assert before.count("<del>") == 1


def test_markup_in_a_report_is_escaped():
    before, after = mark_difference("<script>alert(1)</script>", "a & b <b>")
    assert "<script>" not in before
    assert "&lt;script&gt;" in re.sub("</?del>", "", before)
    assert "&amp;" in after


@pytest.mark.parametrize(("before", "after"), [("", "New text."), ("Old text.", ""), ("", "")])
def test_an_empty_side_is_allowed(before: str, after: str):
    marked = mark_difference(before, after)
    assert [re.sub("</?(ins|del)>", "", side) for side in marked] == [before, after]


@given(WORDS, WORDS)
def test_only_marks_are_added(old: list[str], new: list[str]):
    before, after = " ".join(old), " ".join(new)
    marked = mark_difference(before, after)
    assert [re.sub("</?(ins|del)>", "", side) for side in marked] == [before, after]


@given(WORDS, WORDS)
def test_unmarked_text_is_the_same_on_both_sides(old: list[str], new: list[str]):
    before, after = mark_difference(" ".join(old), " ".join(new))
    rest = [re.sub("<(ins|del)>.*?</(ins|del)>", "", side).split() for side in (before, after)]
    assert "".join(rest[0]) == "".join(rest[1])
