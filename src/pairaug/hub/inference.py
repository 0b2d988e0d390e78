"""What every pretrained model needs once it is loaded, whichever library loaded it."""

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

# AVX-512 and AMX; the names are PyTorch's, and not every release has all of them.
_CPU_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")

Model = TypeVar("Model", bound=nn.Module)

# Bytes. Intel's MKL rounds differently where data begins off this boundary.
_ALIGNMENT = 64


def dtype_of(name: str) -> torch.dtype:
    """The dtype of a setting; `ModelError` where there is none of that name."""
    if name not in _DTYPES:
        raise ModelError(f"unknown dtype {name}; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def has_native_bfloat16(device: str | torch.device = "cpu") -> bool:
    """True where the device multiplies bfloat16 in hardware; other CPUs are slowed by it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and any(bool(getattr(torch.cpu, name, bool)()) for name in _CPU_CHECKS)


def for_inference(model: Model, device: str | torch.device) -> Model:
    """`model` on `device`, in evaluation mode, without gradients, its weights aligned in memory.

    Weights lie wherever the file or the allocator put them. The same weights at another address
    can give another last bit, and then a resumed run would not repeat itself.
    """
    model.requires_grad_(False).eval().to(device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()
    return model


def one_line(error: Exception) -> str:
    """What a library said went wrong, without the pages that follow."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet_libraries(library: Literal["diffusers", "transformers"]) -> Iterator[None]:
    """Keeps the library's warnings off the terminal: what matters in them is refused in a line."""
    own = import_module(f"{library}.utils.logging")
    before = own.get_verbosity()
    own.set_verbosity_error()
    try:
        yield
    finally:
        own.set_verbosity(before)


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """transformers draws a bar for every model that it loads, over the program's own."""
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
