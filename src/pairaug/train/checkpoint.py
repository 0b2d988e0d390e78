"""Writing a training's state so that it is there in full or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pairaug.atomic import new_file


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Writes tensors and plain values as one file."""
    with new_file(path) as file:
        torch.save(dict(state), file)
