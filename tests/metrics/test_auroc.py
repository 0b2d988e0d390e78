"""AUROC against scikit-learn and against cases that are known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pairaug.metrics import auroc, label_aurocs, macro_auroc, paired_auroc


def _by_definition(labels, scores):
    gaps = scores[labels][:, None] - scores[~labels][None]
    return (gaps > 0).mean() + (gaps == 0).mean() / 2


def test_agrees_with_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    labels = rng.random((200, 6)) < 0.3
    scores = np.round(rng.random((200, 6)) + 0.3 * labels, 1)
    expected = [roc_auc_score(labels[:, i], scores[:, i]) for i in range(6)]
    found = [estimate.value for estimate in label_aurocs(labels, scores)]
    assert found == pytest.approx(expected, abs=1e-12)
    assert macro_auroc(labels, scores).value == pytest.approx(np.mean(expected), abs=1e-12)
    assert auroc(labels[:, 2], scores[:, 2]).value == pytest.approx(expected[2], abs=1e-12)


def test_intervals_equal_those_of_resampled_cases():
    rng = np.random.default_rng(0)
    labels = rng.random(40) < 0.4
    scores = np.round(rng.normal(size=40) + labels, 1)
    resamples = np.random.default_rng(5).integers(40, size=(1000, 40))
    resampled = [_by_definition(labels[rows], scores[rows]) for rows in resamples]
    estimate = auroc(labels, scores, seed=5)
    assert (estimate.low, estimate.high) == pytest.approx(
        tuple(np.quantile(resampled, [0.025, 0.975]))
    )


def test_perfect_reversed_and_blind():
    labels = np.array([0, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    assert auroc(labels, scores).value == 1.0
    assert auroc(labels, -scores).value == 0.0
    assert auroc(labels, np.zeros(4)).value == 0.5


def test_one_class_is_undefined_and_left_out_of_the_macro():
    labels = np.array([[1, 0], [1, 1], [1, 0]])
    scores = np.array([[0.2, 0.1], [0.3, 0.9], [0.1, 0.2]])
    values = [estimate.value for estimate in label_aurocs(labels, scores)]
    assert math.isnan(values[0])
    assert values[1] == 1.0
    assert macro_auroc(labels, scores).value == 1.0
    assert math.isnan(macro_auroc(labels[:, :1], scores[:, :1]).value)
    assert str(auroc(labels[:, 0], scores[:, 0])) == "undefined"


def test_interval_holds_the_value_and_narrows_with_more_cases():
    rng = np.random.default_rng(1)
    widths = []
    for num in (50, 800):
        labels = rng.random(num) < 0.5
        estimate = auroc(labels, rng.normal(size=num) + labels)
        assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


def test_labels_together_are_as_labels_alone():
    rng = np.random.default_rng(2)
    labels = rng.random((60, 3)) < 0.4
    scores = rng.random((60, 3))
    assert label_aurocs(labels, scores) == [auroc(labels[:, i], scores[:, i]) for i in range(3)]


def test_pairs_are_resampled_together():
    # Each case wins by far over its own partner, and by nothing over its neighbours'.
    steps = np.arange(100.0)
    estimate = paired_auroc(steps + 0.5, steps)
    assert estimate.value == pytest.approx(0.505)
    # Resampled separately, the interval would be about 0.16 wide.
    assert estimate.high - estimate.low < 0.02
    assert estimate.num == 100
