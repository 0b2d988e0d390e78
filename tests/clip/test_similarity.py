from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.clip.similarity import cosine, directional_similarity


def _unit(*values: float) -> np.ndarray:
    vector = np.array(values, dtype=np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_cosine_of_known_angles() -> None:
    one = np.array([1.0, 0.0])
    assert cosine(one, np.array([2.0, 0.0])) == 1.0
    assert cosine(one, np.array([0.0, 3.0])) == 0.0
    assert cosine(one, np.array([-0.5, 0.0])) == -1.0
    assert cosine(one, np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(0.01, 100))
def test_cosine_is_scale_free_and_symmetric(seed: int, scale: float, other_scale: float) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 8))
    value = cosine(one, other)
    assert value is not None
    assert -1 <= value <= 1
    assert cosine(other, one) == value
    assert cosine(scale * one, other_scale * other) == pytest.approx(value, abs=1e-12)


def test_cosine_is_clipped_to_its_range() -> None:
    """Of parallel vectors, some have a quotient of 1.0000000000000002."""
    rows = np.random.default_rng(0).normal(size=(300, 3))
    beyond = [
        row
        for row in rows
        if np.dot(row, 3 * row) / (np.linalg.norm(row) * np.linalg.norm(3 * row)) > 1
    ]
    assert beyond
    for row in beyond:
        assert cosine(row, 3 * row) == 1.0
        assert cosine(row, -3 * row) == -1.0


def test_cosine_with_a_vector_that_vanishes_is_none() -> None:
    assert cosine(np.zeros(3), np.ones(3)) is None
    assert cosine(np.ones(3), np.full(3, 1e-8)) is None


def test_change_is_the_cosine_of_the_differences() -> None:
    source_image, image = _unit(1, 0, 0.2), _unit(0.5, 1, 0)
    source_report, report = _unit(0, 1, 1), _unit(1, 0.3, 1)
    differences = image - source_image, report - source_report
    expected = (
        differences[0]
        @ differences[1]
        / np.prod([np.linalg.norm(difference) for difference in differences])
    )
    value = directional_similarity(image, source_image, report, source_report)
    assert value == pytest.approx(expected, abs=1e-6)
    back = directional_similarity(source_image, image, report, source_report)
    assert back == pytest.approx(-expected, abs=1e-6)


def test_change_without_a_difference_is_none() -> None:
    source, moved = _unit(1, 0), _unit(0, 1)
    assert directional_similarity(source, source, moved, source) is None
    assert directional_similarity(moved, source, source, source) is None
    # Rounding of float32 does not count as a difference.
    nearly = (source + np.float32(1e-8)).astype(np.float32)
    assert directional_similarity(nearly, source, moved, source) is None
