"""The device and number type of a run, chosen once."""

from __future__ import annotations

from pairaug.config import Settings
from pairaug.errors import SettingsError


def with_device(settings: Settings) -> Settings:
    """`settings` with `auto` replaced by what this machine has.

    Raises `SettingsError` where a device is asked for that PyTorch does not see.
    """
    device, dtype = settings.device, settings.dtype
    if device != "cpu":
        device = _available(device)
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    return settings.model_copy(update={"device": device, "dtype": dtype})


def quieten_model_libraries() -> None:
    """Turns off the bar that transformers shows for each model it loads; ours is about pairs."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _available(device: str) -> str:
    import torch

    has_cuda = torch.cuda.is_available()
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if (device == "cuda" and not has_cuda) or (device == "mps" and not has_mps):
        raise SettingsError(
            f"device is {device!r}, but PyTorch sees none here; set device to cpu or auto"
        )
    return device
