"""Images of a source as vectors of one or more models, each computed once and cached on request.

A cache file is named by a hash of weights, image transform and source. It holds vectors, labels and
hashes of patients, but no report and no id.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from pydantic import NonNegativeInt, TypeAdapter

from pairaug import __version__
from pairaug.errors import DataError
from pairaug.evaluate.data.cases import Case, Cases, as_row
from pairaug.imaging.files import ImageError
from pairaug.imaging.io import image_defect
from pairaug.settings import StageSettings
from pairaug.stage import batched
from pairaug.system.atomic import new_file
from pairaug.system.json_text import parse_json

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

log = logging.getLogger(__name__)

_IMAGES_AT_ONCE = 64
_THREADS = 4

_ARRAYS = ("vectors", "labels", "patients", "splits")
_COUNTS = TypeAdapter(dict[str, NonNegativeInt])

SplitOf = Callable[[Case], str]


@dataclass(frozen=True, slots=True)
class Features:
    """The readable images of a source, in its order."""

    vectors: tuple[np.ndarray, ...]
    """Per model: float32 unit vectors, `image dimension`."""
    labels: np.ndarray
    """float32 `image finding`: 1, 0, or NaN; in the order of the source's findings."""
    patients: np.ndarray
    """Patient number of each image."""
    splits: np.ndarray
    """Report of each image; empty if there is none."""
    reports: tuple[str, ...] = field(default=(), repr=False)
    """Only if requested."""
    unusable: dict[str, int] = field(default_factory=dict)
    """Images left out, by reason."""

    @property
    def num_patients(self) -> int:
        """Number of patients among the images."""
        return len(np.unique(self.patients))


def features_of(
    cases: Cases,
    data: StageSettings,
    encoders: Sequence[Encoder],
    *,
    split_of: SplitOf = lambda case: case.split or "",
    with_reports: bool = False,
    cache: Path | None = None,
    inputs: Any = None,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Features:
    """Vectors of every image by every encoder, from `cache` if a file there has them.

    `data` are the settings of `cases`; `inputs` is everything else that determines patients'
    splits. With reports, the cache is neither read nor written.
    """
    paths = [_cache_path(cache, cases, data, encoder, inputs) for encoder in encoders]
    kept = [None if with_reports or path is None else _kept(path) for path in paths]
    missing = [encoder for encoder, found in zip(encoders, kept, strict=True) if found is None]
    computed = iter(())
    if missing:
        encoded = _encode(cases, missing, split_of, with_reports, report_progress)
        computed = iter([encoded] if len(missing) == 1 else _split_apart(encoded))
    every = [found or next(computed) for found in kept]
    for path, found, features in zip(paths, kept, every, strict=True):
        if path is not None and found is None and not with_reports:
            _keep(path, features)
    first = every[0]
    if not len(first.labels):
        raise DataError(_nothing(cases, first))
    if first.unusable:
        reasons = ", ".join(f"{name} {num}" for name, num in sorted(first.unusable.items()))
        total = len(first.labels) + sum(first.unusable.values())
        log.warning("%s: of %d images, left out: %s", cases.source, total, reasons)
    vectors = tuple(features.vectors[0] for features in every)
    return Features(
        vectors, first.labels, first.patients, first.splits, first.reports, first.unusable
    )


def _encode(
    cases: Cases,
    encoders: Sequence[Encoder],
    split_of: SplitOf,
    with_reports: bool,
    report_progress: Callable[[int], None],
) -> Features:
    vectors: list[list[np.ndarray]] = [[] for _ in encoders]
    labels: list[list[float]] = []
    patients: list[int] = []
    splits: list[str] = []
    reports: list[str] = []
    unusable: Counter[str] = Counter()
    for group in _load(cases, unusable):
        images = [image for _, image in group]
        for index, encoder in enumerate(encoders):
            vectors[index].append(encoder.encode_images(images))
        for case, _ in group:
            labels.append(as_row(case.labels, cases.findings))
            patients.append(_number(case.patient_id))
            splits.append(split_of(case))
            if with_reports:
                reports.append(case.report)
        report_progress(len(group))
    empty = np.zeros((0, 1), np.float32)
    return Features(
        tuple(np.concatenate(each) if each else empty for each in vectors),
        np.array(labels, dtype=np.float32).reshape(len(labels), len(cases.findings)),
        np.array(patients, dtype=np.uint64),
        np.array(splits, dtype="U16"),
        tuple(reports),
        dict(unusable + cases.tally),
    )


def _load(cases: Cases, unusable: Counter[str]) -> Iterator[list[tuple[Case, np.ndarray]]]:
    """Groups of cases with their images; the next group is decoded while one is encoded."""
    waiting: deque[list[tuple[Case, Future[np.ndarray | str]]]] = deque()

    def finished() -> list[tuple[Case, np.ndarray]]:
        usable = []
        for case, future in waiting.popleft():
            image = future.result()
            if isinstance(image, str):
                unusable[image] += 1
            else:
                usable.append((case, image))
        return usable

    with ThreadPoolExecutor(_THREADS) as pool:
        for group in batched(cases, _IMAGES_AT_ONCE):
            waiting.append([(case, pool.submit(_image_of, case)) for case in group])
            if len(waiting) > 1 and (usable := finished()):
                yield usable
        while waiting:
            if usable := finished():
                yield usable


def _image_of(case: Case) -> np.ndarray | str:
    """A case's image, or the reason why it cannot be used."""
    try:
        image = case.image()
    except ImageError as error:
        return error.reason
    return image_defect(image) or image


def _split_apart(features: Features) -> list[Features]:
    """One record for each encoder."""
    rest = (features.labels, features.patients, features.splits, features.reports)
    return [Features((vectors,), *rest, features.unusable) for vectors in features.vectors]


def _nothing(cases: Cases, features: Features) -> str:
    reasons = ", ".join(f"{name} {num}" for name, num in sorted(features.unusable.items()))
    if reasons:
        return f"no image of the data can be used ({reasons}); is data.root the images' folder?"
    return (
        f"the data ({cases.source}) has no image to evaluate on; does its split, its views or "
        "another setting leave all of them out?"
    )


def _cache_path(
    cache: Path | None, cases: Cases, data: StageSettings, encoder: Encoder, inputs: Any
) -> Path | None:
    if cache is None:
        return None
    content = {
        "version": __version__,
        "weights": encoder.weights_sha256,
        "transform": encoder.fingerprint,
        "data": data.model_dump(mode="json"),
        "hashes": dict(cases.hashes),
        "findings": cases.findings,
        "inputs": inputs,
    }
    digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return cache / f"features-{digest[:24]}.npz"


def _kept(path: Path) -> Features | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as opened, NpzFile(opened) as file:
            unusable = _COUNTS.validate_python(parse_json(str(file["unusable"])), strict=True)
            vectors, labels, patients, splits = (file[name] for name in _ARRAYS)
            if len(vectors) == len(labels) == len(patients) == len(splits):
                return Features((vectors,), labels, patients, splits, (), unusable)
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, NotImplementedError):
        pass  # damaged: as below
    log.warning("the features in %s are damaged and are computed again", path)
    return None


def _keep(path: Path, features: Features) -> None:
    with new_file(path) as file:
        np.savez(
            file,
            vectors=features.vectors[0],
            labels=features.labels,
            patients=features.patients,
            splits=features.splits,
            unusable=np.array(json.dumps(features.unusable)),
        )


def _number(patient_id: str) -> int:
    return int.from_bytes(blake2b(patient_id.encode(), digest_size=8).digest(), "big")
