"""Compiling the denoiser: one graph for all batch sizes, and inputs that fit that graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pairaug.diffusion.attention import AttentionSwap
from pairaug.errors import ModelError

# Graphs of one denoiser: one for each kind of swap and one without, and for each of these another
# for a single row. PyTorch's default limit of 8 is meant for code that should have a single graph.
_MAX_GRAPHS = 48


def compile_denoiser(denoiser: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compiles `denoiser` at its next call and at every new kind of call; a graph break raises.

    Raises `ModelError` if the CPU has no C++ compiler.
    """
    if backend == "inductor" and next(denoiser.parameters()).device.type == "cpu":
        _check_cpp_compiler()
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _MAX_GRAPHS)
    denoiser.compile(fullgraph=True, backend=backend)


def _check_cpp_compiler() -> None:
    # Only here: importing the compiler takes seconds.
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ModelError(
            "compile: true needs a C++ compiler on the CPU; install g++, or set compile: false"
        ) from error


def of_any_length(rows: Tensor) -> Tensor:
    """A dense copy of `rows` whose number of rows does not trigger another compilation.

    The copy is needed because memory in another order, or a tensor made outside of inference mode,
    counts as another kind of input and would be compiled again.
    """
    dense = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device).copy_(rows)
    if dense.ndim and len(dense) > 1:
        torch._dynamo.maybe_mark_dynamic(dense, 0)
    return dense


def swap_of_any_length(swap: AttentionSwap) -> AttentionSwap:
    """`swap` with each of its tensors copied by `of_any_length`; None stays None."""
    return swap._replace(
        source_rows=of_any_length(swap.source_rows),
        moved=None if swap.moved is None else of_any_length(swap.moved),
        kept=None if swap.kept is None else of_any_length(swap.kept),
    )
