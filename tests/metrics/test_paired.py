"""Ways to train compared on the same cases: paired resamples of cases, and of seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairaug.metrics import compare_macros, macro_auroc, paired_macro_difference


def _models(rng, labels, lift, num_seeds, noise):
    """Scores whose error is mostly that of the case, whoever looks."""
    common = rng.normal(size=labels.shape)
    return [
        common + lift * labels + noise * rng.normal(size=labels.shape) for _ in range(num_seeds)
    ]


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).random((200, 4)) < 0.4


def test_the_same_models_do_not_differ(labels):
    models = _models(np.random.default_rng(1), labels, 1.0, 3, 0.3)
    found = paired_macro_difference(labels, models, models)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_values_are_means_of_macro_aurocs(labels):
    rng = np.random.default_rng(1)
    scores = {name: _models(rng, labels, lift, 3, 0.3) for name, lift in (("a", 1.0), ("b", 1.4))}
    macros = compare_macros(labels, scores)
    alone = {
        name: [macro_auroc(labels, model).value for model in models]
        for name, models in scores.items()
    }
    for name, values in alone.items():
        assert macros.values[name] == pytest.approx(values)
        assert macros.estimate(name).value == pytest.approx(np.mean(values))
        assert macros.deviation(name) == pytest.approx(np.std(values, ddof=1))
    found = macros.difference("b", "a")
    assert found.value == pytest.approx(np.mean(alone["b"]) - np.mean(alone["a"]))
    assert found == paired_macro_difference(labels, scores["b"], scores["a"])


def test_one_seed_is_the_bootstrap_of_its_cases(labels):
    model = _models(np.random.default_rng(1), labels, 1.0, 1, 0.3)
    macros = compare_macros(labels, {"a": model}, seed=4)
    found, alone = macros.estimate("a"), macro_auroc(labels, model[0], seed=4)
    assert (found.value, found.low, found.high) == pytest.approx(
        (alone.value, alone.low, alone.high)
    )
    assert math.isnan(macros.deviation("a"))


def test_paired_models_share_the_noise_of_cases(labels):
    rng = np.random.default_rng(1)
    common = rng.normal(size=labels.shape)
    base = [common + labels]
    better = [common + 1.05 * labels]
    found = paired_macro_difference(labels, better, base)
    apart = macro_auroc(labels, base[0])
    assert found.low > 0
    assert found.high - found.low < 0.2 * (apart.high - apart.low)


def test_seeds_that_disagree_widen_the_interval(labels):
    rng = np.random.default_rng(1)
    common = rng.normal(size=labels.shape)
    base = [common + labels] * 4
    steady = [common + 1.5 * labels] * 4
    unsteady = [common + lift * labels for lift in (0.5, 1.0, 2.0, 3.0)]
    narrow = paired_macro_difference(labels, steady, base)
    wide = paired_macro_difference(labels, unsteady, base)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_patients_are_resampled_whole(labels):
    rng = np.random.default_rng(1)
    models = {name: _models(rng, labels, 1.0, 2, 0.5) for name in "ab"}
    rows = np.repeat(np.arange(len(labels)), 3)
    once = compare_macros(labels, models).difference("b", "a")
    thrice = {name: [model[rows] for model in each] for name, each in models.items()}
    again = compare_macros(labels[rows], thrice, groups=rows).difference("b", "a")
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))


def test_fraction_of_a_gap(labels):
    rng = np.random.default_rng(1)
    common = rng.normal(size=labels.shape)
    lifts = {"base": 0.6, "middle": 0.9, "upper bound": 1.2}
    macros = compare_macros(
        labels, {name: [common + lift * labels] * 2 for name, lift in lifts.items()}
    )
    assert macros.fraction_of_gap("base", "base", "upper bound").value == 0.0
    assert macros.fraction_of_gap("upper bound", "base", "upper bound").value == 1.0
    found = macros.fraction_of_gap("middle", "base", "upper bound")
    assert 0.4 < found.low < found.value < found.high < 0.7
    # Without a higher upper bound, the fraction is undefined.
    assert math.isnan(macros.fraction_of_gap("middle", "upper bound", "base").value)


def test_one_model_for_every_seed(labels):
    with pytest.raises(ValueError, match="the same number of models"):
        compare_macros(labels, {"a": [labels, labels], "b": [labels]})


def _holds(rng: np.random.Generator, num_seeds: int) -> bool:
    """Does the interval hold the true difference of two ways, over all seeds and cases?"""
    labels = rng.random((150, 3)) < 0.4
    common = rng.normal(size=labels.shape)
    lifts = 1.0 + 0.15 * rng.normal(size=(2, num_seeds))
    ways = [
        [common + lift * labels + 0.5 * rng.normal(size=labels.shape) for lift in row]
        for row in lifts
    ]
    found = paired_macro_difference(labels, ways[1], ways[0], num_resamples=400)
    return found.low <= 0.0 <= found.high


@pytest.mark.slow
@pytest.mark.parametrize(("num_seeds", "least"), [(5, 0.86), (20, 0.92)])
def test_intervals_of_differences_contain_the_truth(num_seeds: int, least: float):
    """Both ways are alike in truth; few seeds give somewhat narrow intervals, as documented."""
    rng = np.random.default_rng(7)
    fraction = np.mean([_holds(rng, num_seeds) for _ in range(400)])
    assert least <= fraction <= 0.99
