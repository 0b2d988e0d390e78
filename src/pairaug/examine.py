"""A film looked at once: whether it is one, how large, and what its file says besides.

Light to import, since the processes that decode films import nothing else of PairAug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairaug.image_files import read_image_file, sha256
from pairaug.images import copied_ref, fault, load_film
from pairaug.pair import ImageRef


@dataclass(frozen=True, slots=True)
class Examined:
    """What there is to say of a film that could be decoded."""

    ref: ImageRef
    """Its hash and size; the film itself as PNG where it was to be kept."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    """A drop reason of `pairaug.images.fault`."""
    detail: str = ""
    """What was measured where there is a fault."""


def examine(content: bytes, suffix: str = "", *, keep: bool = False) -> Examined:
    """What the encoded film `content` is; `suffix` is that of its file's name.

    `keep` is for films that have no file, which go on as PNG. Raises as `load_film` does.
    """
    film = load_film(ImageRef(path=f"film{suffix}", png=content))
    wrong = fault(film.image)
    if wrong is not None:
        return Examined(ImageRef(), film.notes, wrong, _measured(film.notes))
    if keep:
        return Examined(copied_ref(content, film.image), film.notes)
    height, width = film.image.shape
    return Examined(ImageRef(sha256=sha256(content), height=height, width=width), film.notes)


Outcome = Examined | Exception


def examine_all(films: Sequence[Path | bytes]) -> list[Outcome]:
    """For each film, in a file or encoded, what it is or what looking at it raised.

    Films that have no file are kept.
    """
    return [_outcome(film) for film in films]


def _outcome(film: Path | bytes) -> Outcome:
    try:
        if isinstance(film, bytes):
            return examine(film, keep=True)
        return examine(read_image_file(film), film.suffix)
    # Whose it is, is for the caller to say.
    except Exception as error:  # noqa: BLE001
        return error


def _measured(notes: Mapping[str, Any]) -> str:
    if "stored_range" not in notes:
        return ""
    low, high = notes["stored_range"]
    if low == high:
        return f"all stored values are {low}"
    return f"stored values from {low} to {high}, made grey by {notes['voi']}"
