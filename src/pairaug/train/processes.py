"""The processes of one training started by `torchrun`: a single one, or several that share steps.

Each computes its slice of every batch. Vectors are gathered, so that each pair has the whole batch
as negatives, and gradients are summed, so that all take the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pairaug.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all processes of a training."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """True in the one process that writes files and logs."""
        return self.rank == 0

    def slice_of(self, batch_size: int) -> slice:
        """The slice of a batch for this process."""
        if batch_size % self.count:
            raise SettingsError(
                f"batch_size is {batch_size}, which {self.count} processes cannot share evenly; "
                f"set it to a multiple of {self.count}"
            )
        fraction = batch_size // self.count
        return slice(self.rank * fraction, (self.rank + 1) * fraction)

    def all_gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes in order; gradients flow to those of this process only."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        dist.all_gather(parts, rows.detach().contiguous())
        parts[self.rank] = rows
        return torch.cat(parts)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums each gradient over the processes, sent as one message."""
        if self.count == 1:
            return
        chosen = [value for value in parameters if value.requires_grad]
        gradients = [torch.zeros_like(v) if v.grad is None else v.grad for v in chosen]
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
        dist.all_reduce(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for value, piece in zip(chosen, pieces, strict=True):
            value.grad = piece.view_as(value).to(value.dtype)

    def broadcast(self, number: float) -> float:
        """The first process's number, in all processes: their clocks differ."""
        if self.count == 1:
            return number
        sent = torch.tensor([number], dtype=torch.float64, device=self.device)
        dist.broadcast(sent, 0)
        return float(sent)

    def wait(self) -> None:
        """Returns once all processes have called it."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """The processes started by `torchrun`, from its environment; a single one without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, device)
    finally:
        dist.destroy_process_group()
