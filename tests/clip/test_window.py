from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.clip.window import fit_windows


def _count(text: str) -> int:
    """Words, and every full stop or comma: the way that tokenizers count, in short."""
    return len(text.replace(".", " . ").replace(",", " , ").split())


def test_a_report_that_fits_is_left_as_it_is() -> None:
    windows = fit_windows("No effusion.  Clear lungs.", _count, 6, "average")
    assert windows.texts == ("No effusion.  Clear lungs.",)
    assert (windows.num_tokens, windows.num_tokens_in_report, windows.truncated) == ((6,), 6, False)


def test_windows_end_where_sentences_end() -> None:
    report = "No effusion. The heart is large. Lungs clear. No pneumothorax."
    windows = fit_windows(report, _count, 7, "average")
    assert windows.texts == ("No effusion.", "The heart is large.", "Lungs clear. No pneumothorax.")
    assert windows.num_tokens == (3, 5, 6)
    assert not windows.truncated


def test_full_stop_inside_a_number() -> None:
    windows = fit_windows("Nodule of 1.5 cm. Clear.", _count, 6, "average")
    assert windows.texts == ("Nodule of 1.5 cm.", "Clear.") or "1.5" in windows.texts[0]


def test_truncate() -> None:
    windows = fit_windows("No effusion. The heart is large.", _count, 5, "truncate")
    assert windows.texts == ("No effusion. The heart",)
    assert windows.truncated
    assert windows.num_tokens_in_report == 8


@pytest.mark.parametrize("policy", ["average", "truncate"])
def test_text_without_spaces_is_cut_too(policy: str) -> None:
    windows = fit_windows("x" * 100, len, 7, policy)  # type: ignore[arg-type]
    assert all(0 < len(text) <= 7 for text in windows.texts)


@given(
    st.lists(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=12), min_size=1),
    st.integers(3, 9),
)
def test_average_keeps_every_word(sentences: list[list[str]], limit: int) -> None:
    report = " ".join(" ".join(words) + "." for words in sentences)
    windows = fit_windows(report, _count, limit, "average")
    assert all(_count(text) <= limit for text in windows.texts)
    assert tuple(_count(text) for text in windows.texts) == windows.num_tokens
    assert " ".join(windows.texts).split() == report.split()
    assert not windows.truncated
