"""Compiling the denoiser: one graph for all batch sizes, and inputs that ask for no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pairaug.diffusion.attention import Swap, Watch
from pairaug.errors import ModelError

# Graphs of one denoiser: with each kind of swap and with none, with a watch, and of all these one
# for a single row. PyTorch's own limit of 8 is for code that should have a single graph.
_MAX_GRAPHS = 48


def compile_denoiser(denoiser: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Has `denoiser` compiled whenever it meets a new kind of call; a graph break raises.

    Raises `ModelError` where there is no compiler to do it with.
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
    """`rows` as a dense copy, whose number of rows is no part of what is compiled.

    Memory in another order, or a tensor made outside of inference mode, would be another kind of
    input to the compiler, and compiled again.
    """
    dense = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device).copy_(rows)
    if dense.ndim and len(dense) > 1:
        torch._dynamo.maybe_mark_dynamic(dense, 0)
    return dense


def swap_of_any_length(swap: Swap) -> Swap:
    """`swap` with all of its tensors as `of_any_length` has them; None stays None."""
    return swap._replace(
        source_rows=of_any_length(swap.source_rows),
        moved=None if swap.moved is None else of_any_length(swap.moved),
        kept=None if swap.kept is None else of_any_length(swap.kept),
    )


def watch_of_any_length(watch: Watch) -> Watch:
    """`watch` likewise, but for `total`, which is written to."""
    if len(watch.total) > 1:
        torch._dynamo.maybe_mark_dynamic(watch.total, 0)
    return watch._replace(rows=of_any_length(watch.rows), words=of_any_length(watch.words))
