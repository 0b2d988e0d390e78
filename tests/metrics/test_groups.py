"""Patients are resampled whole; intervals contain the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairaug.metrics import auroc, average_precision, bootstrap, macro_auroc, mean


def test_groups_are_resampled_whole():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    seen = []

    def statistic(counts):
        seen.append(counts)
        return counts[:, :1]

    bootstrap(statistic, 6, num_resamples=300, groups=groups)
    counts = np.concatenate(seen[1:])
    assert np.array_equal(counts[:, 0], counts[:, 2])
    assert np.array_equal(counts[:, 0], counts[:, 5])
    assert np.array_equal(counts[:, 1], counts[:, 4])
    # Three patients are resampled, whatever number of cases that is.
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_groups_of_one_change_nothing():
    rng = np.random.default_rng(0)
    labels = rng.random(80) < 0.4
    scores = rng.random(80)
    names = np.array([f"patient-{number:03d}" for number in range(80)])
    assert auroc(labels, scores, groups=names) == auroc(labels, scores)


def test_repeated_images_of_a_patient_narrow_nothing():
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.5
    scores = rng.normal(size=60) + labels
    once = auroc(labels, scores)
    tenfold = np.repeat(np.arange(60), 10)
    by_patient = auroc(labels[tenfold], scores[tenfold], groups=tenfold)
    by_image = auroc(labels[tenfold], scores[tenfold])
    assert (by_patient.low, by_patient.high) == pytest.approx((once.low, once.high))
    assert by_image.high - by_image.low < 0.5 * (once.high - once.low)


def _fraction_that_holds(truth: float, num_resamples: int, estimate_of) -> float:
    rng = np.random.default_rng(11)
    estimates = [estimate_of(rng) for _ in range(num_resamples)]
    return float(np.mean([each.low <= truth <= each.high for each in estimates]))


def _normal_cases(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.random(num) < 0.4
    return labels, rng.normal(size=num) + labels


# Two normals one deviation apart: Phi(1 / sqrt 2).
TRUTH = 0.5 * (1 + math.erf(1 / 2))


def _clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four images of each of 40 patients, who share their label and most of their score."""
    patients = np.repeat(np.arange(40), 4)
    labels = (rng.random(40) < 0.5)[patients]
    scores = 0.9 * rng.normal(size=40)[patients] + math.sqrt(0.19) * rng.normal(size=160)
    return labels, scores + labels, patients


def test_intervals_contain_the_truth():
    """200 simulated resamples: 95 % of them within four standard errors."""
    fraction = _fraction_that_holds(TRUTH, 200, lambda rng: auroc(*_normal_cases(rng, 120)))
    assert fraction == pytest.approx(0.95, abs=0.062)


@pytest.mark.slow
@pytest.mark.parametrize("num", [80, 200, 1000])
def test_coverage_of_auroc_intervals(num: int):
    fraction = _fraction_that_holds(TRUTH, 2000, lambda rng: auroc(*_normal_cases(rng, num)))
    assert fraction == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_coverage_of_average_precision_intervals():
    labels, scores = _normal_cases(np.random.default_rng(0), 2_000_000)
    from sklearn.metrics import average_precision_score

    truth = float(average_precision_score(labels, scores))
    fraction = _fraction_that_holds(
        truth, 2000, lambda rng: average_precision(*_normal_cases(rng, 300))
    )
    assert fraction == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_coverage_of_macro_auroc_intervals():
    def estimate(rng: np.random.Generator):
        labels = rng.random((200, 4)) < 0.3
        common = rng.normal(size=(200, 1))
        return macro_auroc(labels, 0.6 * common + 0.8 * rng.normal(size=(200, 4)) + labels)

    assert _fraction_that_holds(TRUTH, 1000, estimate) == pytest.approx(0.95, abs=0.025)


@pytest.mark.slow
def test_resampling_images_of_similar_patients_is_too_narrow():
    """Images resampled one by one count as four times the number of patients."""

    def by_patient(rng: np.random.Generator):
        labels, scores, patients = _clustered(rng)
        return auroc(labels, scores, groups=patients)

    def by_image(rng: np.random.Generator):
        labels, scores, _ = _clustered(rng)
        return auroc(labels, scores)

    assert _fraction_that_holds(TRUTH, 1000, by_patient) == pytest.approx(0.95, abs=0.035)
    assert _fraction_that_holds(TRUTH, 1000, by_image) < 0.8


def test_means_by_patient():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 5)
    patients = np.repeat(np.arange(30), 5)
    wide, narrow = mean(values, groups=patients), mean(values)
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
