"""The device and number type of a run, chosen once."""

from __future__ import annotations

import warnings
from typing import Any

from pairaug.config import Settings
from pairaug.errors import SettingsError


def with_device(settings: Settings) -> Settings:
    """`settings` with `auto` replaced by what this machine has.

    Raises `SettingsError` where a device is asked for that PyTorch does not see.
    """
    device, dtype = choose_device(settings.device, settings.dtype)
    return settings.model_copy(update={"device": device, "dtype": dtype})


def choose_device(device: Any = None, dtype: Any = None) -> tuple[str, str]:
    """A device and a number type, by the names that settings have or as PyTorch's objects.

    None and `auto` stand for what this machine has. Raises `SettingsError` for a device that
    PyTorch does not see.
    """
    device_name = "auto" if device is None else str(device)
    dtype_name = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    if device_name != "cpu":
        device_name = _available(device_name)
    if dtype_name == "auto":
        dtype_name = "bfloat16" if device_name.startswith("cuda") else "float32"
    return device_name, dtype_name


def import_tqdm() -> None:
    """Imports tqdm without the warning that it gives in notebooks where ipywidgets is missing.

    The hub libraries import it; their bars are turned off.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        import tqdm.auto  # noqa: F401


def quieten_model_libraries() -> None:
    """Turns off the bar that transformers shows for each model it loads; ours is about pairs."""
    import_tqdm()
    from transformers.utils import logging

    logging.disable_progress_bar()


def _available(device: str) -> str:
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdecimal()):
        raise SettingsError(f"there is no device {device!r}; choose cpu, cuda, cuda:N or mps")
    num_devices = torch.cuda.device_count() if kind == "cuda" else 1
    is_there = {"cpu": True, "cuda": has_cuda, "mps": torch.backends.mps.is_available()}[kind]
    if not is_there or int(index or 0) >= num_devices:
        raise SettingsError(
            f"device is {device!r}, but PyTorch sees none here; set device to cpu or auto"
        )
    return device
