"""Preparation of loaded models for inference, for any library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Literal, TypeVar

import torch
from torch import nn
from transformers.utils import logging

from pairaug.errors import ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# AVX-512 and AMX, by PyTorch's names; not every release has all of them.
_CPU_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")

Model = TypeVar("Model", bound=nn.Module)

# Bytes. Intel's MKL rounds differently if data is not aligned to this.
_ALIGNMENT = 64


def dtype_of(name: str) -> torch.dtype:
    """The dtype named by a setting; `ModelError` for an unknown name."""
    if name not in _DTYPES:
        raise ModelError(f"unknown dtype {name}; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def has_native_bfloat16(device: str | torch.device = "cpu") -> bool:
    """True if the device multiplies bfloat16 in hardware; other CPUs are slower with it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and any(bool(getattr(torch.cpu, name, bool)()) for name in _CPU_CHECKS)


def for_inference(model: Model, device: str | torch.device) -> Model:
    """`model` on `device`, in evaluation mode, without gradients, its weights aligned in memory.

    Otherwise the file or the allocator determines the address, and another alignment can change the
    last bit of a result, so that a resumed run would differ.
    """
    model.requires_grad_(False).eval().to(device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()
    return model


def one_line(error: Exception) -> str:
    """First line of a library's error message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet_libraries(library: Literal["diffusers", "transformers"]) -> Iterator[None]:
    """Silences the library's warnings; PairAug raises its own errors for those that matter."""
    own = import_module(f"{library}.utils.logging")
    before = own.get_verbosity()
    own.set_verbosity_error()
    try:
        yield
    finally:
        own.set_verbosity(before)


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Hides transformers' progress bar, shown for every model over the program's own."""
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
