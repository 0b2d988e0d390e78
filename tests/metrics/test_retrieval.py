"""Retrieval ranks against a full matrix, in blocks of any size, copies of a report included."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pairaug.metrics.retrieval import retrieval_ranks


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    text_of = rng.integers(0, 40, size=90)
    text_of[:40] = np.arange(40)
    texts = _unit(rng.normal(size=(40, 8)))
    images = _unit(texts[text_of] + 0.6 * rng.normal(size=(90, 8)))
    return images, texts, text_of


def test_ranks_by_the_full_matrix(pairs):
    images, texts, text_of = pairs
    found = retrieval_ranks(images, texts, text_of)
    scores = images.astype(float) @ texts[text_of].astype(float).T  # image, pair
    for index in range(90):
        wrong = text_of != text_of[index]
        in_front = scores[index, wrong] > scores[index, index]
        assert found.reports[index] == 1 + in_front.sum()
        best = scores[~wrong, index].max()
        assert found.images[index] == 1 + (scores[wrong, index] > best).sum()
    assert (found.reports > 1).any()


def test_blocks_change_nothing(pairs, monkeypatch):
    whole = retrieval_ranks(*pairs)
    monkeypatch.setattr(sys.modules["pairaug.metrics.retrieval"], "_MAX_SCORES", 280)
    counts: list[int] = []
    found = retrieval_ranks(*pairs, counts.append)
    assert np.array_equal(found.reports, whole.reports)
    assert np.array_equal(found.images, whole.images)
    assert sum(counts) == 90
    assert len(counts) > 10


def test_identical_report_counts_as_own():
    images = _unit(np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]]))
    texts = _unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    found = retrieval_ranks(images, texts, np.array([0, 0, 1]))
    assert found.reports.tolist() == [1, 1, 1]
    assert found.images.tolist() == [1, 1, 1]


def test_constant_vectors_retrieve_nothing():
    images = _unit(np.ones((20, 4)))
    texts = _unit(np.ones((20, 4)))
    found = retrieval_ranks(images, texts, np.arange(20))
    assert (found.reports == 20).all()
    assert (found.images == 20).all()


@pytest.mark.slow
def test_a_hundred_thousand_pairs_fit_in_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    num = 100_000
    images = _unit(rng.normal(size=(num, 16)))
    tracemalloc.start()
    found = retrieval_ranks(images, images, np.arange(num))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.reports == 1).mean() > 0.99
    assert peak < 1e9
