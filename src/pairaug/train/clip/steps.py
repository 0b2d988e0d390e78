"""Gradients of one step: over processes and in pieces, equal to those of the whole batch.

The vectors of all pieces are computed first, without storing activations; the loss over the whole
batch gives each vector's gradient; then each piece is computed again, and its gradient is sent
through the towers (Gao et al. 2021, GradCache). The step is that of the whole batch with all its
negatives, while memory holds one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pairaug.train.processes import Processes

Embed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images and token ids of some pairs to unit vectors of both."""
VectorLoss = Callable[[Tensor, Tensor], Tensor]
"""The loss of the vectors of all pairs."""


def leave_gradients(
    embed: Embed,
    loss_of: VectorLoss,
    images: Tensor,
    reports: Tensor,
    micro_batch_size: int | None,
    seed: int,
    head: Sequence[nn.Parameter],
    processes: Processes,
) -> Tensor:
    """The loss, detached, with its gradients in all parameters used by `embed` and `loss_of`.

    `images` and `reports` are this process's slice of the batch. `head` holds the parameters of the
    loss itself, whose gradient is equal in all processes. Dropout samples from `seed`.
    """
    pieces = _pieces(len(images), micro_batch_size)
    if len(pieces) == 1:
        torch.manual_seed(seed)
        vectors = embed(images, reports)
        loss = loss_of(*(processes.all_gather(each) for each in vectors))
        loss.backward()
    else:
        with torch.no_grad():
            parts = []
            for piece in pieces:
                torch.manual_seed(seed + piece.start)
                parts.append(embed(images[piece], reports[piece]))
        image_vectors, report_vectors = (
            torch.cat(each).requires_grad_() for each in zip(*parts, strict=True)
        )
        loss = loss_of(processes.all_gather(image_vectors), processes.all_gather(report_vectors))
        loss.backward()
        assert image_vectors.grad is not None
        assert report_vectors.grad is not None
        for piece in pieces:
            torch.manual_seed(seed + piece.start)
            vectors = embed(images[piece], reports[piece])
            gradients = (image_vectors.grad[piece], report_vectors.grad[piece])
            torch.autograd.backward(vectors, gradients)
    if processes.count > 1:
        for parameter in head:
            if parameter.grad is not None:
                parameter.grad /= processes.count
    return loss.detach()


def _pieces(size: int, micro_batch_size: int | None) -> list[slice]:
    step = micro_batch_size or size
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
