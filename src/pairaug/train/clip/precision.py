"""Number type of the towers' matrix products."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from pairaug.hub.inference import has_native_bfloat16

# Narrower towers lose more by conversion than they gain by faster products.
_MIN_WIDTH = 512


def autocast_for(
    precision: str, model: Any, device: torch.device
) -> Callable[[], AbstractContextManager[Any]]:
    """Context in which towers run: bfloat16 autocast, or none for float32."""
    if precision == "auto":
        width = int(getattr(model.config.vision_config, "hidden_size", 0))
        is_native = has_native_bfloat16(device)
        is_wide = device.type == "cuda" or width >= _MIN_WIDTH
        precision = "bfloat16" if is_native and is_wide else "float32"
    if precision == "float32":
        return nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)
