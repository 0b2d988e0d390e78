"""Speed of what runs spend their time in: `make bench`. One operation a benchmark, on the CPU."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from pairaug.diffusion.attention import AttentionSwap, cross_attention
from pairaug.findings import extract
from pairaug.manifest import read_part, write_part
from pairaug.pair import Pair
from pairaug.phantom.study import Study, sample_study
from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.stage import RunContext


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [sample_study(0, index) for index in range(16)]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(PhantomReader(PhantomSource(num_patients=32), RunContext(seed=0)))


def test_draw_a_image(benchmark: BenchmarkFixture, studies: list[Study]):
    turn = count()
    benchmark(lambda: studies[next(turn) % len(studies)].render())


def test_read_the_findings_of_a_report(benchmark: BenchmarkFixture, studies: list[Study]):
    turn = count()
    benchmark(lambda: extract(studies[next(turn) % len(studies)].text))


def test_write_a_part_of_32_pairs(benchmark: BenchmarkFixture, pairs: list[Pair], tmp_path: Path):
    benchmark(lambda: write_part(tmp_path, 0, pairs, "0" * 64))


def test_read_a_part_of_32_pairs(benchmark: BenchmarkFixture, pairs: list[Pair], tmp_path: Path):
    path = write_part(tmp_path, 0, pairs, "0" * 64)
    benchmark(lambda: read_part(path))


def _attention_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, AttentionSwap]:
    """Latents of 64 x 64 positions, 8 heads of 40 features, 77 tokens; one source and one edit."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    mapping = torch.eye(77)[None]
    alpha = (torch.arange(77) < 40).float()[None]
    swap = AttentionSwap(
        source_rows=torch.tensor([1]),
        moved=mapping * alpha[:, None],
        kept=1.0 - alpha,
        max_self_positions=0,
    )
    return normal(2, 8, 4096, 40), normal(2, 8, 77, 40), normal(2, 8, 77, 40), swap


def _explicit(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, swap: AttentionSwap
) -> torch.Tensor:
    """The same with the maps themselves, as prompt-to-prompt's own code does it."""
    assert swap.moved is not None
    assert swap.kept is not None
    maps = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
    mixed = maps[1:] @ swap.moved[:, None] + maps[:1] * swap.kept[:, None, None]
    return torch.cat([mixed, maps[1:]]) @ value


def test_fused_cross_attention_swap(benchmark: BenchmarkFixture):
    inputs = _attention_inputs()
    torch.testing.assert_close(cross_attention(*inputs), _explicit(*inputs), atol=1e-5, rtol=0)
    benchmark(lambda: cross_attention(*inputs))


def test_cross_attention_swap_with_explicit_maps(benchmark: BenchmarkFixture):
    inputs = _attention_inputs()
    benchmark(lambda: _explicit(*inputs))
