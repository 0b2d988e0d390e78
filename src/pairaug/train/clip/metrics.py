"""Validation metrics of a training: loss, AUROC against shuffled reports, and retrieval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pairaug.train.clip.model import PairEncoder, as_images
from pairaug.train.clip.pairs import TrainingPairs
from pairaug.train.clip.settings import ClipSettings


def validation_metrics(
    encoder: PairEncoder,
    pairs: TrainingPairs,
    tokens: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    settings: ClipSettings,
    device: torch.device,
) -> dict[str, float]:
    """Validation loss, AUROC of own against shuffled reports, and recall."""
    vectors = []
    for group in np.array_split(pairs.validation, max(1, len(pairs.validation) // 100)):
        images = as_images(pairs.images(group), device)
        reports = tokens[torch.from_numpy(group), 0].to(device)
        vectors.append(encoder.pairs(images, reports))
    image_vectors = torch.cat([image for image, _ in vectors])
    report_vectors = torch.cat([report for _, report in vectors])
    batches = zip(
        image_vectors.split(settings.batch_size),
        report_vectors.split(settings.batch_size),
        strict=True,
    )
    losses = [(len(images), float(loss_of(images, reports))) for images, reports in batches]
    cosines = (image_vectors @ report_vectors.T).float().cpu().numpy()
    is_own = np.eye(len(cosines), dtype=bool)
    # Every other report is a shuffled one; their own are as many as the pairs.
    auroc = float(roc_auc_score(is_own.ravel(), cosines.ravel()))
    found = cosines.argmax(axis=1) == np.arange(len(cosines))
    return {
        "loss": float(np.average([loss for _, loss in losses], weights=[n for n, _ in losses])),
        "auroc": auroc,
        "recall_at_1": float(found.mean()),
        "cosine_true": float(cosines[is_own].mean()),
        "cosine_shuffled": float(cosines[~is_own].mean()),
    }
