"""Patients are drawn whole; intervals contain the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairaug.metrics import (
    auroc,
    average_precision,
    bootstrap,
    finding_metrics,
    label_average_precisions,
    macro_auroc,
    mean,
    paired_auroc,
    paired_macro_difference,
    share,
)


def test_a_groups_cases_are_drawn_together():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    seen = []

    def statistic(counts):
        seen.append(counts)
        return counts[:, :1]

    bootstrap(statistic, 6, num_draws=300, groups=groups)
    counts = np.concatenate(seen[1:])
    assert np.array_equal(counts[:, 0], counts[:, 2])
    assert np.array_equal(counts[:, 0], counts[:, 5])
    assert np.array_equal(counts[:, 1], counts[:, 4])
    # Three patients are drawn, whatever number of cases that is.
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_groups_of_one_change_nothing():
    rng = np.random.default_rng(0)
    labels = rng.random(80) < 0.4
    scores = rng.random(80)
    names = np.array([f"patient-{place:03d}" for place in range(80)])
    assert auroc(labels, scores, groups=names) == auroc(labels, scores)


def test_repeated_films_of_a_patient_narrow_nothing():
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.5
    scores = rng.normal(size=60) + labels
    once = auroc(labels, scores)
    tenfold = np.repeat(np.arange(60), 10)
    by_patient = auroc(labels[tenfold], scores[tenfold], groups=tenfold)
    by_film = auroc(labels[tenfold], scores[tenfold])
    assert (by_patient.low, by_patient.high) == pytest.approx((once.low, once.high))
    assert by_film.high - by_film.low < 0.5 * (once.high - once.low)


def _share_that_holds(truth: float, num_draws: int, estimate_of) -> float:
    rng = np.random.default_rng(11)
    estimates = [estimate_of(rng) for _ in range(num_draws)]
    return float(np.mean([each.low <= truth <= each.high for each in estimates]))


def _normal_cases(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.random(num) < 0.4
    return labels, rng.normal(size=num) + labels


# Two normals one deviation apart: Phi(1 / sqrt 2).
TRUTH = 0.5 * (1 + math.erf(1 / 2))


def _clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four films of each of 40 patients, who share their label and most of their score."""
    patients = np.repeat(np.arange(40), 4)
    labels = (rng.random(40) < 0.5)[patients]
    scores = 0.9 * rng.normal(size=40)[patients] + math.sqrt(0.19) * rng.normal(size=160)
    return labels, scores + labels, patients


def test_intervals_contain_the_truth():
    """200 simulated draws: 95 % of them within four standard errors."""
    share = _share_that_holds(TRUTH, 200, lambda rng: auroc(*_normal_cases(rng, 120)))
    assert share == pytest.approx(0.95, abs=0.062)


@pytest.mark.slow
@pytest.mark.parametrize("num", [80, 200, 1000])
def test_intervals_of_auroc_contain_the_truth_in_many_draws(num: int):
    share = _share_that_holds(TRUTH, 2000, lambda rng: auroc(*_normal_cases(rng, num)))
    assert share == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_intervals_of_average_precision_contain_the_truth_in_many_draws():
    labels, scores = _normal_cases(np.random.default_rng(0), 2_000_000)
    from sklearn.metrics import average_precision_score

    truth = float(average_precision_score(labels, scores))
    share = _share_that_holds(truth, 2000, lambda rng: average_precision(*_normal_cases(rng, 300)))
    assert share == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_intervals_of_macro_auroc_contain_the_truth_in_many_draws():
    def estimate(rng: np.random.Generator):
        labels = rng.random((200, 4)) < 0.3
        common = rng.normal(size=(200, 1))
        return macro_auroc(labels, 0.6 * common + 0.8 * rng.normal(size=(200, 4)) + labels)

    assert _share_that_holds(TRUTH, 1000, estimate) == pytest.approx(0.95, abs=0.025)


@pytest.mark.slow
def test_only_draws_of_patients_hold_the_truth_where_films_are_alike():
    """Films drawn one by one pretend to four times as many patients."""

    def by_patient(rng: np.random.Generator):
        labels, scores, patients = _clustered(rng)
        return auroc(labels, scores, groups=patients)

    def by_film(rng: np.random.Generator):
        labels, scores, _ = _clustered(rng)
        return auroc(labels, scores)

    assert _share_that_holds(TRUTH, 1000, by_patient) == pytest.approx(0.95, abs=0.035)
    assert _share_that_holds(TRUTH, 1000, by_film) < 0.8


def test_means_by_patient():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 5)
    patients = np.repeat(np.arange(30), 5)
    wide, narrow = mean(values, groups=patients), mean(values)
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def _by_patient(name: str):
    """An estimate of labels and scores, `groups` and `seed` by name."""

    def of_findings(labels, scores, **options):
        return finding_metrics(labels, scores, {"all": (0, 1)}, **options)[1]["all"]

    def of_columns(labels, scores, **options):
        return label_average_precisions(labels, scores, **options)[0]

    def of_macro(labels, scores, **options):
        return macro_auroc(labels, scores, **options)

    def of_difference(labels, scores, **options):
        return paired_macro_difference(labels, [scores], [scores**3 + labels], **options)

    def of_fraction(labels, scores, **options):
        return share(labels[:, 0], **options)

    def of_auroc(labels, scores, **options):
        return of_findings(labels, scores, **options).auroc

    def of_precision(labels, scores, **options):
        return of_findings(labels, scores, **options).average_precision

    return locals()[f"of_{name}"]


WAYS = ("columns", "macro", "difference", "fraction", "auroc", "precision")


@pytest.fixture(scope="module")
def two_findings() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random((60, 2)) < 0.5
    return labels, rng.normal(size=(60, 2)) + labels


@pytest.mark.parametrize("name", WAYS)
def test_every_metric_counts_patients_where_they_are_given(name: str, two_findings):
    """Ten images of each patient say what one says."""
    estimate, (labels, scores) = _by_patient(name), two_findings
    tenfold = np.repeat(np.arange(60), 10)
    once = estimate(labels, scores)
    found = estimate(labels[tenfold], scores[tenfold], groups=tenfold)
    assert (found.low, found.high) == pytest.approx((once.low, once.high))
    assert once.low < once.value < once.high


@pytest.mark.parametrize("name", WAYS)
def test_every_metric_is_repeatable_by_its_seed(name: str, two_findings):
    estimate = _by_patient(name)
    assert estimate(*two_findings, seed=3) == estimate(*two_findings, seed=3)
    assert estimate(*two_findings, seed=3) != estimate(*two_findings, seed=4)


def test_paired_auroc_and_average_precision_are_repeatable_by_their_seed(two_findings):
    labels, scores = two_findings
    for metric, columns in (
        (paired_auroc, (scores[:, 0] + 1, scores[:, 1])),
        (average_precision, (labels[:, 0], scores[:, 0])),
    ):
        assert metric(*columns, seed=3) == metric(*columns, seed=3)
        assert metric(*columns, seed=3) != metric(*columns, seed=4)


def test_average_precision_by_patient(two_findings):
    labels, scores = two_findings[0][:, 0], two_findings[1][:, 0]
    tenfold = np.repeat(np.arange(60), 10)
    once = average_precision(labels, scores)
    found = average_precision(labels[tenfold], scores[tenfold], groups=tenfold)
    assert (found.low, found.high) == pytest.approx((once.low, once.high))


def test_num_draws_of_findings_is_used(two_findings):
    few = finding_metrics(*two_findings, {"all": (0, 1)}, num_draws=20)[0]
    assert few != finding_metrics(*two_findings, {"all": (0, 1)})[0]
