"""A linear layer on frozen features for several findings, with missing labels.

For each finding, with the mean over the images that state it:

    loss = mean(-y log p - (1 - y) log(1 - p)) + l2 / 2 |w|^2,   p = 1 / (1 + exp(-(w x + b)))

The layer starts at random numbers and is trained by L-BFGS until convergence. The problem is
convex, so the start affects the last digits only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_MAX_STEPS = 200


class LinearHead:
    """A trained layer, with the standardization of its features."""

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, deviation: np.ndarray
    ) -> None:
        self.weight, self.bias = weight, bias
        """`finding dimension` and `finding`, for standardized features."""
        self._mean, self._deviation = mean, deviation

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits, `image finding`, of raw features, `image dimension`."""
        standard = (features - self._mean) / self._deviation
        return standard @ self.weight.T + self.bias


def fit_head(features: np.ndarray, labels: np.ndarray, l2: float, seed: int) -> LinearHead:
    """The layer for `features` (`image dimension`) and `labels` (`image finding`, NaN: not stated).

    Each dimension is standardized over these images first. A finding that is not stated, or has
    one class only, ends with weights near 0.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    # A constant dimension holds no information; its deviation of 0 is not divided by.
    deviation[deviation < 1e-8] = 1.0
    inputs = torch.from_numpy((features - mean) / deviation)
    stated = torch.from_numpy(~np.isnan(labels)).double()
    targets = torch.from_numpy(np.nan_to_num(labels)).double()
    fractions = stated / stated.sum(dim=0).clamp(min=1.0)
    generator = torch.Generator().manual_seed(seed)
    num, dimension = labels.shape[1], features.shape[1]
    weight = torch.randn(num, dimension, generator=generator, dtype=torch.float64) * 0.01
    layer = [weight.requires_grad_(), torch.zeros(num, dtype=torch.float64, requires_grad=True)]
    optimizer = torch.optim.LBFGS(
        layer,
        max_iter=_MAX_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = functional.linear(inputs, *layer)
        errors = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = (errors * fractions).sum() + l2 / 2 * layer[0].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    trained = [each.detach().numpy() for each in layer]
    return LinearHead(trained[0], trained[1], mean, deviation)
