from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from pairaug.clip.loss import contrastive_loss


def written_out(images, reports, scale: float) -> float:
    """The equation of the docstring, in loops."""
    count, total = len(images), 0.0
    for own in range(count):
        image_row = [scale * float(images[own] @ reports[j]) for j in range(count)]
        report_row = [scale * float(images[j] @ reports[own]) for j in range(count)]
        for row in (image_row, report_row):
            total += row[own] - math.log(sum(math.exp(value) for value in row))
    return -total / (2 * count)


def test_the_loss_equals_the_equation_written_out():
    torch.manual_seed(0)
    images, reports = (
        functional.normalize(torch.randn(5, 3, dtype=torch.float64), dim=1) for _ in range(2)
    )
    loss = contrastive_loss(images, reports, torch.tensor(7.0, dtype=torch.float64))
    assert float(loss) == pytest.approx(written_out(images, reports, 7.0), abs=1e-12)


def test_equal_vectors_give_the_logarithm_of_the_batch():
    vectors = functional.normalize(torch.ones(4, 3), dim=1)
    assert float(contrastive_loss(vectors, vectors, torch.tensor(9.0))) == pytest.approx(
        math.log(4)
    )


def test_matched_pairs_cost_less_than_shuffled_ones():
    vectors = torch.eye(4)
    scale = torch.tensor(10.0)
    matched = contrastive_loss(vectors, vectors, scale)
    assert float(matched) < 0.001 < float(contrastive_loss(vectors, vectors.roll(1, 0), scale))
