"""Contrastive losses between vectors of images and reports."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    images: Float[Tensor, "pair feature"],
    reports: Float[Tensor, "pair feature"],
    logit_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of matching images to reports and reports to images in the batch.

        L = -1/2N sum_i [ log softmax_j(s u_i . v_j)[i] + log softmax_j(s u_j . v_i)[i] ]

    Radford et al. 2021, figure 3 (InfoNCE, van den Oord et al. 2018, in both directions). `images`
    u and `reports` v are unit vectors, row i of both being pair i; `logit_scale` s is one over the
    temperature.
    """
    logits = logit_scale * images @ reports.T
    own = torch.arange(len(images), device=images.device)
    by_image = functional.cross_entropy(logits, own)
    by_report = functional.cross_entropy(logits.T, own)
    return (by_image + by_report) / 2


def sigmoid_loss(
    images: Float[Tensor, "pair feature"],
    reports: Float[Tensor, "pair feature"],
    logit_scale: Float[Tensor, ""],
    logit_bias: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Binary cross-entropy of matching pairs against all others in the batch.

        L = -1/N sum_ij log sigmoid(z_ij (s u_i . v_j + b)),  z_ij = 1 where i = j, else -1

    Zhai et al. 2023 (SigLIP), section 3.2. `images` u and `reports` v are unit vectors;
    `logit_scale` s is one over the temperature, and `logit_bias` b starts far below zero, as most
    pairs do not match.
    """
    logits = logit_scale * images @ reports.T + logit_bias
    signs = 2.0 * torch.eye(len(images), device=images.device) - 1.0
    return -functional.logsigmoid(signs * logits).sum() / len(images)
