"""Writing a training's state so that it is there in full or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Writes tensors and plain values under a temporary name and renames it."""
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
