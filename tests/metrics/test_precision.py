"""Average precision, and findings' metrics together, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pairaug.metrics import (
    average_precision,
    finding_metrics,
    label_aurocs,
    label_average_precisions,
    macro_auroc,
)
from pairaug.metrics.precision import precision_of
from pairaug.metrics.ranking import Ranking


def _cases(num: int = 200, findings: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.random((num, findings)) < 0.3
    return labels, np.round(rng.random((num, findings)) + 0.3 * labels, 1)


def test_agrees_with_scikit_learn_ties_included():
    labels, scores = _cases()
    expected = [average_precision_score(labels[:, i], scores[:, i]) for i in range(5)]
    found = [estimate.value for estimate in label_average_precisions(labels, scores)]
    assert found == pytest.approx(expected, abs=1e-12)
    assert average_precision(labels[:, 1], scores[:, 1]).value == pytest.approx(expected[1])


def test_resample_counts_equal_scikit_learn_weights():
    labels, scores = _cases(findings=1)
    counts = np.random.default_rng(3).integers(0, 4, size=(20, 200)).astype(float)
    counts[:, scores[:, 0] > 1.1] = 0.0  # nothing at the highest thresholds
    found = precision_of(*Ranking(labels[:, 0], scores[:, 0]).masses(counts))
    expected = [
        average_precision_score(labels[:, 0], scores[:, 0], sample_weight=c) for c in counts
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_unstated_labels_are_left_out():
    labels, scores = _cases()
    stated = np.random.default_rng(4).random(labels.shape) < 0.6
    partly = np.where(stated, labels.astype(float), np.nan)
    findings, macros = finding_metrics(partly, scores, {"all": range(5), "two": (0, 3)})
    for i, found in enumerate(findings):
        rows = stated[:, i]
        assert found.num_positive == labels[rows, i].sum()
        assert found.num_negative == (~labels[rows, i]).sum()
        area = roc_auc_score(labels[rows, i], scores[rows, i])
        precision = average_precision_score(labels[rows, i], scores[rows, i])
        assert found.auroc.value == pytest.approx(area)
        assert found.average_precision.value == pytest.approx(precision)
    assert macros["two"].auroc.value == pytest.approx(
        np.mean([findings[0].auroc.value, findings[3].auroc.value])
    )
    assert macros["all"].auroc == macro_auroc(partly, scores)
    assert [each.auroc for each in findings] == label_aurocs(partly, scores)


def test_one_class_is_not_evaluable_and_not_a_number():
    labels = np.array([[1, 0, np.nan, 0], [1, 0, np.nan, 1], [1, 0, np.nan, 0]], dtype=float)
    scores = np.array([[0.3, 0.1, 0.2, 0.5], [0.2, 0.3, 0.1, 0.9], [0.1, 0.2, 0.3, 0.1]])
    findings, macros = finding_metrics(labels, scores, {"all": range(4), "none": (0, 1, 2)})
    for found in findings[:3]:
        assert not found.is_evaluable
        assert not found.is_inverted
        assert math.isnan(found.auroc.value)
        assert math.isnan(found.average_precision.value)
    assert findings[3].is_evaluable
    assert (macros["all"].num_findings, macros["all"].auroc.value) == (1, 1.0)
    assert macros["none"].num_findings == 0
    assert math.isnan(macros["none"].auroc.value)


def test_inverted_only_where_the_whole_interval_is_below_one_half():
    rng = np.random.default_rng(0)
    labels = rng.random((300, 2)) < 0.5
    scores = rng.normal(size=(300, 2)) - labels * [1.0, 0.1]
    findings, _ = finding_metrics(labels, scores, {})
    assert findings[1].auroc.value < 0.5
    assert [found.is_inverted for found in findings] == [True, False]
