"""Reports as prompts: marks go, and what is too long is shortened in a known order."""

from __future__ import annotations

import pytest

from pairaug.diffusion.prompts import Prompt, fit_prompt, without_marks


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
