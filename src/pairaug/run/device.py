"""Choice of the device and dtype of a run."""

from __future__ import annotations

import warnings
from typing import Any

from pairaug.config import Settings
from pairaug.errors import SettingsError


def with_device(settings: Settings) -> Settings:
    """`settings` with `auto` replaced by the device and dtype for this machine.

    Raises `SettingsError` if PyTorch does not see the device.
    """
    device, dtype = choose_device(settings.device, settings.dtype)
    return settings.model_copy(update={"device": device, "dtype": dtype})


def choose_device(device: Any = None, dtype: Any = None) -> tuple[str, str]:
    """Names of a device and a dtype, from such names or from PyTorch's objects.

    None and `auto` choose for this machine. Raises `SettingsError` if PyTorch does not see the
    device.
    """
    device_name = "auto" if device is None else str(device)
    dtype_name = "auto" if dtype is None else str(dtype).removeprefix("torch.")
    if device_name != "cpu":
        device_name = _available(device_name)
    if dtype_name == "auto":
        dtype_name = "bfloat16" if device_name.startswith("cuda") else "float32"
    return device_name, dtype_name


def import_tqdm() -> None:
    """Imports tqdm without its warning about missing ipywidgets in notebooks.

    The hub libraries import it, and their progress bars are turned off.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        import tqdm.auto  # noqa: F401


def quieten_model_libraries() -> None:
    """Turns off the progress bar that transformers shows for every model it loads."""
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
        raise SettingsError(f"unknown device {device!r}; choose cpu, cuda, cuda:N or mps")
    num_devices = torch.cuda.device_count() if kind == "cuda" else 1
    is_there = {"cpu": True, "cuda": has_cuda, "mps": torch.backends.mps.is_available()}[kind]
    if not is_there or int(index or 0) >= num_devices:
        raise SettingsError(
            f"device is {device!r}, but PyTorch does not see it here; set device to cpu or auto"
        )
    return device
