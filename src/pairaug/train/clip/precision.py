"""The number type of the towers' products."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

# Narrower towers lose more by converting numbers than they gain by multiplying fewer bits.
_LEAST_WIDTH = 512


def autocast_for(
    precision: str, model: Any, device: torch.device
) -> Callable[[], AbstractContextManager[Any]]:
    """Makes the context in which towers run: bfloat16 autocast, or nothing for float32."""
    if precision == "auto":
        width = int(getattr(model.config.vision_config, "hidden_size", 0))
        is_native = has_native_bfloat16(device)
        is_wide = device.type == "cuda" or width >= _LEAST_WIDTH
        precision = "bfloat16" if is_native and is_wide else "float32"
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)


def has_native_bfloat16(device: torch.device) -> bool:
    """True where the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)
