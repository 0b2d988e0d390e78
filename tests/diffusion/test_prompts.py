"""Reports as prompts: marks go, and what is too long is shortened in a known order."""

from __future__ import annotations

import pytest

from pairaug.diffusion.prompts import (
    Prompt,
    ReportTooLongError,
    fit_prompt,
    fit_prompts,
    without_marks,
)


def count_words(text: str) -> int:
    """A tokenizer of whole words with two special tokens."""
    return len(text.split()) + 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Comparison with ___. Heart is large.", "Comparison with. Heart is large."),
        ("XXXX XXXX-year-old. No effusion , XXXX .", "-year-old. No effusion,."),
        ("  Two\n lines\tand a_b x ", "Two lines and a_b x"),
        ("xxxx catheter in place", "catheter in place"),
        ("____", ""),
    ],
)
def test_marks_and_stray_spaces_are_removed(text: str, expected: str) -> None:
    assert without_marks(text) == expected


def test_a_report_that_fits_is_left_alone() -> None:
    text = "Large heart. No effusion."
    assert fit_prompt(text, count_words, 6) == Prompt(text, 6)


REPORT = (
    "There is a large right pleural effusion. No pneumothorax is seen. "
    "Moderate cardiomegaly. There is no focal consolidation. Mild edema is present."
)


@pytest.mark.parametrize(
    ("window", "expected", "left_out"),
    [
        # The last sentence that only denies goes first, then the one before it.
        (
            20,
            "There is a large right pleural effusion. No pneumothorax is seen. "
            "Moderate cardiomegaly. Mild edema is present.",
            1,
        ),
        (
            16,
            "There is a large right pleural effusion. Moderate cardiomegaly. "
            "Mild edema is present.",
            2,
        ),
        # Then what is said last.
        (12, "There is a large right pleural effusion. Moderate cardiomegaly.", 3),
        (9, "There is a large right pleural effusion.", 4),
    ],
)
def test_what_is_too_long_loses_denials_first_and_then_its_end(
    window: int, expected: str, left_out: int
) -> None:
    prompt = fit_prompt(REPORT, count_words, window)
    assert prompt == Prompt(expected, count_words(expected), True, left_out)


def test_one_sentence_that_is_too_long_loses_words_and_says_so() -> None:
    prompt = fit_prompt("large right pleural effusion with adjacent atelectasis", count_words, 6)
    assert prompt == Prompt("large right pleural effusion", 6, True, 0)


def test_a_report_of_marks_alone_is_empty() -> None:
    assert fit_prompt("___ ___", count_words, 6).text == ""


SMALLER = REPORT.replace("large right", "small right")


@pytest.mark.parametrize(
    ("window", "rest", "left_out"),
    [
        (99, " No pneumothorax is seen. Moderate cardiomegaly. There is no focal consolidation. "
             "Mild edema is present.", 0),
        (20, " No pneumothorax is seen. Moderate cardiomegaly. Mild edema is present.", 1),
        (12, " Moderate cardiomegaly.", 3),
        (9, "", 4),
    ],
)  # fmt: skip
def test_both_prompts_of_an_edit_lose_the_same_sentences(
    window: int, rest: str, left_out: int
) -> None:
    first, second = fit_prompts(REPORT, SMALLER, count_words, window)
    assert first.text == "There is a large right pleural effusion." + rest
    assert second.text == "There is a small right pleural effusion." + rest
    for prompt in (first, second):
        assert prompt.truncated == (left_out > 0)
        assert prompt.left_out_sentences == prompt.left_out_of_both == left_out


@pytest.mark.parametrize("longer", ["source", "edited"])
def test_where_one_side_is_too_long_the_other_loses_what_they_have_in_common(longer: str) -> None:
    """The denial that both have goes from both; the changed sentence stays, though it denies."""
    short = "No edema. Large heart. No effusion."
    long = "No edema of either lung at all. Large heart. No effusion."
    texts = (long, short) if longer == "source" else (short, long)
    prompts = fit_prompts(*texts, count_words, 11)
    for prompt, text in zip(prompts, texts, strict=True):
        assert prompt.text == text.removesuffix(" No effusion.")
        assert (prompt.left_out_sentences, prompt.left_out_of_both) == (1, 1)
    # What only one side has goes last of all.
    first, second = fit_prompts(*texts, count_words, 6)
    cut, whole = (first, second) if longer == "source" else (second, first)
    assert (cut.text, whole.text) == ("No edema of either", "No edema.")
    assert (cut.left_out_of_both, whole.left_out_of_both) == (2, 2)


def test_a_sentence_that_is_said_twice_is_left_out_once_for_once() -> None:
    first, second = fit_prompts(
        "No edema. Large heart. No edema.", "No edema. Small heart.", count_words, 7
    )
    assert (first.text, second.text) == ("Large heart. No edema.", "Small heart.")


@pytest.mark.parametrize("adds", [True, False])
def test_no_side_is_left_without_words_and_the_change_stays(adds: bool) -> None:
    """What one side alone says is the change: it is the last to go."""
    texts = ["No effusion. Large heart.", "No effusion. Large heart. Tube in place, well placed."]
    first, second = fit_prompts(*(texts if adds else texts[::-1]), count_words, 7)
    short, long = (first, second) if adds else (second, first)
    assert (short.text, short.left_out_sentences) == ("Large heart.", 1)
    assert (long.text, long.left_out_sentences) == ("Tube in place, well placed.", 2)
    assert first.left_out_of_both == second.left_out_of_both == 1


def test_windows_and_refusals_are_for_both_sides() -> None:
    first, second = fit_prompts(REPORT, SMALLER, count_words, 9, "chunk")
    assert (first.text, second.text) == (REPORT, SMALLER)
    with pytest.raises(ReportTooLongError, match="edited: the report has 6 tokens"):
        fit_prompts("No edema.", "Edema of both lungs.", count_words, 5, "error")
