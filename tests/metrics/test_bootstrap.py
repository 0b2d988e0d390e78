"""Bootstrap intervals: repeatable, aligned, and about as wide as theory says."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from pairaug.metrics import Estimate, bootstrap, fraction, mean, ratio


def test_width_is_that_of_the_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    estimate = mean(values)
    expected = 2 * 1.96 * values.std() / math.sqrt(400)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.12)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.num == 400


def test_same_seed_same_interval():
    values = np.random.default_rng(0).normal(size=30)
    assert mean(values, seed=4) == mean(values, seed=4)
    assert mean(values, seed=4) != mean(values, seed=5)


def test_cases_are_resampled_with_replacement():
    seen = []

    def statistic(counts):
        seen.append(counts)
        return counts[:, :1]

    bootstrap(statistic, 7, num_resamples=200)
    counts = np.concatenate(seen[1:])
    assert np.array_equal(seen[0], np.ones((1, 7)))
    assert counts.shape == (200, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean() == pytest.approx(1.0)
    assert 0.2 < (counts == 0).mean() < 0.5


def test_many_cases_are_resampled_in_blocks(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = mean(values)
    # By way of the module: the package exports a function of the same name.
    monkeypatch.setattr(sys.modules["pairaug.metrics.bootstrap"], "_MAX_COUNTS", 500)
    found = mean(values)
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high))


def test_columns_stay_aligned():
    values = np.random.default_rng(0).random(40) + 1.0
    # Were the two resampled apart, their ratio would vary.
    estimate = ratio(0.25 * values, values)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.25, 0.25, 0.25))


def test_fraction_of_hits():
    estimate = fraction(np.array([True] * 90 + [False] * 10))
    assert estimate.value == pytest.approx(0.9)
    assert 0.8 < estimate.low < 0.9 < estimate.high < 1.0


@pytest.mark.parametrize("num", [5, 80])
def test_fraction_of_all_or_none_has_an_exact_interval(num):
    """Clopper and Pearson: five of five may still be a fraction of 0.478."""
    from scipy.stats import binomtest

    exact = binomtest(num, num).proportion_ci(0.95)
    every, none = fraction(np.ones(num, dtype=bool)), fraction(np.zeros(num, dtype=bool))
    assert (every.value, every.low, every.high) == pytest.approx((1.0, exact.low, 1.0))
    assert (none.value, none.low, none.high) == pytest.approx((0.0, 0.0, 1.0 - exact.low))


def test_fraction_of_all_counts_groups():
    by_case = fraction(np.ones(20, dtype=bool))
    by_patient = fraction(np.ones(20, dtype=bool), groups=np.repeat(np.arange(5), 4))
    assert by_patient.low == fraction(np.ones(5, dtype=bool)).low < by_case.low


def test_no_cases_is_undefined():
    estimate = mean(np.zeros(0))
    assert math.isnan(estimate.value)
    assert estimate.num == 0
    assert json.loads(json.dumps(estimate.as_dict()))["value"] is None
    assert math.isnan(ratio(np.ones(3), np.zeros(3)).value)


def test_text():
    assert str(Estimate(0.91234, 0.9, 0.93, 12)) == "0.912 [0.900, 0.930]"
    assert str(Estimate(1.0, 1.0, 1.0, 12)) == "1.000"
