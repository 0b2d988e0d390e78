"""Grey levels from the stored values of a DICOM image: modality, then VOI, then polarity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from pairaug.imaging.dicom_numbers import Lut, first_number, items, lut_of, numbers

_STRIP = 1 << 16
"""Pixels: a quarter of a megabyte."""
_MIN_SHOWN = 2 / 255
"""Grey levels: a LUT or window that spreads the values over less is not usable."""
_MAX_TRIED = 16
"""LUTs, and windows."""
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def grey(stored: np.ndarray, dataset: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Grey levels in [0, 1], and notes: the `voi` used, and those `ignored`."""
    ignored: list[str] = []
    padding = _padding(stored, dataset)
    values = _modality(stored, dataset, ignored)
    # Without a usable modality step the unit of the VOI elements is unknown.
    image, made_by = (None, "range") if ignored else _by_voi(values, padding, dataset, ignored)
    if image is None:
        image = _by_range(values, padding)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        np.subtract(1.0, image, out=image)
    if padding is not None:
        image[padding] = 0.0
    passed_over = list(dict.fromkeys(ignored))
    return image, {"voi": made_by, **({"ignored": passed_over} if passed_over else {})}


def strips(image: np.ndarray) -> Iterator[np.ndarray]:
    """Views of a few rows each, so that several passes over one stay in the cache.

    Each pass over a whole image would go through memory, whose bandwidth the workers share.
    """
    rows = max(1, _STRIP // max(1, image[0].size))
    for start in range(0, len(image), rows):
        yield image[start : start + rows]


def _modality(stored: np.ndarray, dataset: Any, ignored: list[str]) -> np.ndarray:
    for item in items(dataset, "ModalityLUTSequence")[:1]:
        ends = float(stored.min()), float(stored.max())
        lut = lut_of(item, *ends, is_little_endian=_is_little_endian(dataset))
        if lut is not None:
            return lut.of(stored).astype(np.float32)
        ignored.append("modality_lut")
    slopes, intercepts = (numbers(dataset, f"Rescale{name}") for name in ("Slope", "Intercept"))
    slope, intercept = (*slopes, 1.0)[0], (*intercepts, 0.0)[0]
    values = stored.astype(np.float32)
    if not (math.isfinite(slope) and math.isfinite(intercept)) or float(np.float32(slope)) == 0.0:
        ignored.append("rescale")
        return values
    if slope != 1.0:
        values *= np.float32(slope)
    if intercept:
        values += np.float32(intercept)
    return values


def _by_voi(
    values: np.ndarray, padding: np.ndarray | None, dataset: Any, ignored: list[str]
) -> tuple[np.ndarray | None, str]:
    """Grey levels by the first usable VOI LUT or window."""
    low, high = _most(values, padding)
    ends = float(values.min()), float(values.max())
    for item in items(dataset, "VOILUTSequence")[:_MAX_TRIED]:
        lut = lut_of(item, *ends, is_little_endian=_is_little_endian(dataset))
        if lut is None:
            ignored.append("voi_lut")
        elif low < high and np.ptp(_by_lut(np.linspace(low, high, 256), lut)) < _MIN_SHOWN:
            ignored.append("voi_lut_beside_values")
        else:
            return _by_lut(values, lut), "lut"
    function = str(dataset.get("VOILUTFunction") or "").upper()
    function = function if function in _FUNCTIONS else "LINEAR"
    centres, widths = (numbers(dataset, f"Window{name}") for name in ("Center", "Width"))
    windows = zip_longest(centres[:_MAX_TRIED], widths[:_MAX_TRIED], fillvalue=math.nan)
    for centre, width in windows:
        if not _is_window(centre, width, function):
            ignored.append("window")
            continue
        shown = _apply_window(np.array([[low, high]]), centre, width, function)
        if low < high and np.ptp(shown) < _MIN_SHOWN:
            ignored.append("window_beside_values")
        else:
            return _apply_window(values, centre, width, function), "window"
    return None, "range"


def _most(values: np.ndarray, padding: np.ndarray | None) -> tuple[float, float]:
    """Range of nearly all values, estimated from a subset."""
    step = max(1, min(values.shape) // 256)
    some = values[::step, ::step]
    if padding is not None:
        some = some[~padding[::step, ::step]]
    low, high = np.percentile(some, (1, 99)) if some.size else (0.0, 0.0)
    return float(low), float(high)


def _is_window(centre: float, width: float, function: str) -> bool:
    least = 1.0 if function == "LINEAR" else float(np.finfo(np.float32).tiny)
    most = float(np.finfo(np.float32).max) / 4
    return abs(centre) < most and least <= width < most


def _by_lut(values: np.ndarray, lut: Lut) -> np.ndarray:
    return lut.of(values).astype(np.float32) / np.float32(2**lut.bits - 1)


def _apply_window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """`values`, changed in place by a window."""
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width == 0:
        return (values > centre).astype(np.float32)
    for strip in strips(values):
        strip -= np.float32(centre)
        if function == "SIGMOID":
            strip *= np.float32(-4.0 / width)
            np.exp(np.clip(strip, -80.0, 80.0, out=strip), out=strip)
            strip += np.float32(1.0)
            np.reciprocal(strip, out=strip)
        else:
            strip /= np.float32(width)
            strip += np.float32(0.5)
            np.clip(strip, 0.0, 1.0, out=strip)
    return values


def _by_range(values: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """`values`, changed in place, from the image's smallest to its largest."""
    shown = values if padding is None or padding.all() else values[~padding]
    low, high = float(shown.min()), float(shown.max())
    for strip in strips(values):
        strip -= np.float32(low)
        if high > low:
            strip /= np.float32(high - low)
        np.clip(strip, 0.0, 1.0, out=strip)
    return values


def _padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Mask of the pixels that the file states to be padding, or None."""
    value = first_number(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = first_number(dataset, "PixelPaddingRangeLimit")
    ends = [value, value if limit is None else limit]
    if stored.dtype.kind == "i":
        # Some files state it unsigned for signed values.
        ends = [end - 0x10000 if 0x8000 <= end <= 0xFFFF else end for end in ends]
    padding = (stored >= min(ends)) & (stored <= max(ends))
    return padding if padding.any() else None


def _is_little_endian(dataset: Any) -> bool:
    return dataset.original_encoding[1] is not False
