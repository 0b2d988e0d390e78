"""Gradients of one step: the loss, piece by piece, and over processes."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from pairaug.clip.loss import contrastive_loss, sigmoid_loss
from pairaug.train.clip.steps import leave_gradients
from pairaug.train.processes import Processes
from support import TESTS, program


def vectors(seed: int, count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sampled = torch.randn(2, count, 5, generator=generator)
    images, reports = normalize(sampled, dim=-1)
    return images, reports


def test_the_contrastive_loss_is_the_hand_written_one():
    images, reports = vectors(0)
    scale = 7.0
    total = 0.0
    for row in range(len(images)):
        by_image = [float(torch.exp(scale * images[row] @ other)) for other in reports]
        by_report = [float(torch.exp(scale * other @ reports[row])) for other in images]
        for terms in (by_image, by_report):
            total -= float(torch.log(torch.tensor(terms[row] / sum(terms))))
    expected = total / (2 * len(images))
    ours = contrastive_loss(images, reports, torch.tensor(scale))
    assert float(ours) == pytest.approx(expected, abs=1e-5)


def test_the_sigmoid_loss_is_the_hand_written_one():
    images, reports = vectors(1)
    scale, bias = 5.0, -3.0
    total = 0.0
    for row, image in enumerate(images):
        for column, report in enumerate(reports):
            sign = 1.0 if row == column else -1.0
            logit = sign * (scale * float(image @ report) + bias)
            total += float(torch.log1p(torch.exp(torch.tensor(-logit))))
    ours = sigmoid_loss(images, reports, torch.tensor(scale), torch.tensor(bias))
    assert float(ours) == pytest.approx(total / len(images), abs=1e-5)


class Towers(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 5))
        self.report = nn.Sequential(nn.Linear(4, 16), nn.Dropout(dropout), nn.Linear(16, 5))
        self.scale = nn.Parameter(torch.tensor(4.0))

    def embed(self, images: Tensor, reports: Tensor) -> tuple[Tensor, Tensor]:
        return normalize(self.image(images), dim=-1), normalize(self.report(reports), dim=-1)

    def loss(self, images: Tensor, reports: Tensor) -> Tensor:
        return contrastive_loss(images, reports, self.scale)

    def gradients(self, micro_batch_size: int | None) -> tuple[Tensor, list[Tensor]]:
        generator = torch.Generator().manual_seed(9)
        images = torch.randn(12, 8, generator=generator)
        reports = torch.randn(12, 4, generator=generator)
        self.zero_grad()
        loss = leave_gradients(
            self.embed, self.loss, images, reports, micro_batch_size, 5, [self.scale], Processes()
        )
        found = [value.grad for value in self.parameters() if value.grad is not None]
        assert len(found) == len(list(self.parameters()))
        return loss, [gradient.clone() for gradient in found]


@pytest.mark.parametrize("micro_batch_size", [1, 4, 5, 12])
def test_pieces_give_the_big_batchs_gradients(micro_batch_size: int):
    towers = Towers()
    loss, whole = towers.gradients(None)
    loss_in_pieces, pieces = towers.gradients(micro_batch_size)
    torch.testing.assert_close(loss_in_pieces, loss)
    for ours, theirs in zip(pieces, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_averaged_micro_batches_differ():
    """The test above could fail: a loss over each piece alone has other gradients."""
    towers = Towers()
    _, whole = towers.gradients(None)
    generator = torch.Generator().manual_seed(9)
    images = torch.randn(12, 8, generator=generator)
    reports = torch.randn(12, 4, generator=generator)
    towers.zero_grad()
    for piece in range(3):
        own = slice(4 * piece, 4 * piece + 4)
        (towers.loss(*towers.embed(images[own], reports[own])) / 3).backward()
    gradient = towers.image[0].weight.grad
    assert gradient is not None
    assert not torch.allclose(gradient, whole[1], atol=1e-3)


def test_dropout_repeats_in_the_second_pass():
    """With other masks the second time, the gradients would not be those of the loss."""
    towers = Towers(dropout=0.5)
    loss, first = towers.gradients(4)
    again, second = towers.gradients(4)
    assert torch.equal(loss, again)
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("micro_batch_size", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_two_processes_take_the_steps_of_one(tmp_path: Path, micro_batch_size: int | None):
    """Three steps with a vision transformer: the weights are those of one joined batch."""
    outs = {}
    for count in (1, 2):
        out = tmp_path / str(count)
        shared = {
            **os.environ,
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        arguments = program("two_processes", out, micro_batch_size or 0)
        workers = [
            subprocess.Popen(
                arguments,
                cwd=TESTS,
                env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]
        errors = [worker.communicate(timeout=120)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * count, errors
        outs[count] = load_file(out / "clip" / "model.safetensors")
    assert outs[1].keys() == outs[2].keys()
    for name, weight in outs[1].items():
        torch.testing.assert_close(outs[2][name], weight, atol=1e-5, rtol=0, msg=name)
