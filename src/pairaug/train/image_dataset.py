"""Images, labels and reports for training, written to disk once and memory-mapped.

`images.npy` holds the images as uint8, `reports.jsonl` one line per image with its reports and
labels. The number of lines is the number of finished images, so an interrupted cache is resumed.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

from pairaug.errors import DataError, RunError, SettingsError
from pairaug.imaging.files import ImageError
from pairaug.imaging.io import fit_square, load_image
from pairaug.manifest import read_pairs
from pairaug.pair import FINDINGS, Branch, Pair
from pairaug.phantom.findings import LABELS, label_vector
from pairaug.phantom.study import sample_study
from pairaug.settings import StageSettings
from pairaug.system.atomic import disk_errors, remove_leftovers, write_file
from pairaug.system.json_text import parse_json, read_json_object
from pairaug.system.locks import hold_lock
from pairaug.system.workers import open_workers
from pairaug.train.arrays import open_array

log = logging.getLogger(__name__)

_CHUNK = 200
_STAGES = ("prune", "score", "edit", "generate", "rewrite", "read")


class ImageDatasetSettings(StageSettings):
    """Settings of the training pairs."""

    layout: Literal["phantom", "run"] = Field(
        default="phantom",
        description="Source of the pairs: simulated patients (phantoms), or a run folder.",
    )
    num_patients: int = Field(
        default=40_000, ge=1, description="Number of phantom patients to train on."
    )
    num_validation: int = Field(
        default=1_000,
        ge=2,
        description="Number of further phantom patients for validation.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of the phantom patients.")
    num_reports: int = Field(
        default=4,
        ge=1,
        description="Differently worded reports per phantom; each step samples one.",
    )
    num_reworded: int = Field(
        default=0,
        ge=0,
        description="Additional reports per phantom, worded like edited reports: sentences in any "
        "order, findings denied by side, often without impression.",
    )
    run: Path | None = Field(
        default=None,
        description="Run folder; training uses the pairs that its last stage kept, validation the "
        "real pairs of the validation split.",
    )
    branches: tuple[Branch, ...] = Field(
        default=(Branch.REAL,),
        min_length=1,
        description="Branches of a run to train on: `real`, and `inter` or `intra` for synthetic "
        "pairs.",
    )
    size: int = Field(
        default=128,
        ge=16,
        description="Side of the images in pixels; other images are cropped and resized.",
    )
    cache: Path | None = Field(
        default=None,
        description="Folder of the prepared images, to share between trainings; null: `cache` in "
        "the output folder.",
    )
    num_workers: int = Field(default=2, ge=1, description="Processes that render phantoms.")


class _ImageRow(BaseModel, strict=True, extra="forbid"):
    """A line of `reports.jsonl`."""

    reports: list[str] = Field(min_length=1)
    labels: list[FiniteFloat | None]


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """Images in memory order: the first `num_train` for training, the rest for validation."""

    images: np.ndarray
    """uint8, `image height width`."""
    labels: np.ndarray
    """float32, `image label`: 1 present, 0 absent, NaN not stated."""
    label_names: tuple[str, ...]
    reports: tuple[tuple[str, ...], ...]
    num_train: int

    @property
    def num_validation(self) -> int:
        return len(self.images) - self.num_train

    @property
    def fingerprint(self) -> str:
        """A hash of about sixty images, spread over all, and of their number."""
        some = self.images[:: max(1, len(self.images) // 60)]
        counts = f"{self.images.shape} {self.num_train} "
        return sha256(counts.encode() + np.ascontiguousarray(some).tobytes()).hexdigest()

    @property
    def validation(self) -> np.ndarray:
        """Positions of the validation images."""
        return np.arange(self.num_train, len(self.images))


def open_dataset(settings: ImageDatasetSettings, out: Path) -> ImageDataset:
    """The images of `settings`, rendered or read first if that is not done yet."""
    folder = settings.cache or out / "cache"
    with disk_errors(folder), _alone_in(folder):
        remove_leftovers(folder)
        if settings.layout == "phantom":
            names, num_train = _fill_from_phantoms(settings, folder)
        else:
            names, num_train = _fill_from_run(settings, folder)
    rows = _rows_in(folder / "reports.jsonl")
    labels = np.array(
        [[math.nan if value is None else value for value in row.labels] for row in rows],
        dtype=np.float32,
    )
    reports = tuple(tuple(row.reports) for row in rows)
    # The array of a run may be longer than the number of readable images.
    images = np.load(folder / "images.npy", mmap_mode="r")[: len(rows)]
    return ImageDataset(images, labels, names, reports, num_train)


def _alone_in(folder: Path) -> AbstractContextManager[None]:
    """Waits for other trainings that fill the same cache, unless the folder is read-only."""
    folder.mkdir(parents=True, exist_ok=True)
    return hold_lock(folder, waits=True) if os.access(folder, os.W_OK) else nullcontext()


def _fill_from_phantoms(
    settings: ImageDatasetSettings, folder: Path
) -> tuple[tuple[str, ...], int]:
    total = settings.num_patients + settings.num_validation
    kept = {"layout", "seed", "num_reports", "size"}
    if settings.num_reworded:  # Caches from before this setting existed equal its default.
        kept.add("num_reworded")
    _check_origin(folder, {**settings.model_dump(include=kept), "num_images": total})
    num_done = _num_lines(folder / "reports.jsonl")
    if num_done < total:
        _render(settings, folder, total, num_done)
    return LABELS, settings.num_patients


def _render(settings: ImageDatasetSettings, folder: Path, total: int, num_done: int) -> None:
    shape = (total, settings.size, settings.size)
    images = open_array(folder / "images.npy", np.uint8, shape)
    render = partial(
        render_chunk,
        seed=settings.seed,
        size=settings.size,
        num_reports=settings.num_reports,
        num_reworded=settings.num_reworded,
    )
    starts = range(num_done, total, _CHUNK)
    spans = [(start, min(start + _CHUNK, total)) for start in starts]
    with (
        open_workers(settings.num_workers) as pool,
        (folder / "reports.jsonl").open("a", encoding="utf-8") as reports,
    ):
        for (start, stop), (chunk, lines) in zip(spans, pool.map(render, spans), strict=True):
            images[start:stop] = chunk
            images.flush()
            # After the images: a line marks its image as done.
            reports.write("".join(f"{line}\n" for line in lines))
            reports.flush()
            log.info("rendered %d of %d phantoms", stop, total)


def render_chunk(
    span: tuple[int, int], seed: int, size: int, num_reports: int, num_reworded: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Images (uint8) and lines of `reports.jsonl` of the phantoms numbered `span`, half-open."""
    images = np.empty((span[1] - span[0], size, size), dtype=np.uint8)
    lines = []
    for row, index in enumerate(range(*span)):
        study = sample_study(seed, index)
        images[row] = as_bytes(study.render(size).image)
        texts = [_join(*study.report(variant)) for variant in range(num_reports)]
        texts += [study.reworded(variant) for variant in range(num_reworded)]
        lines.append(_line(texts, label_vector(study.findings).tolist()))
    return images, lines


def _fill_from_run(settings: ImageDatasetSettings, folder: Path) -> tuple[tuple[str, ...], int]:
    if settings.run is None:
        raise SettingsError("data.layout: run needs data.run, the run folder to train on")
    stage = next((settings.run / name for name in _STAGES if (settings.run / name).is_dir()), None)
    if stage is None:
        raise DataError(f"{settings.run} has no stage folder with pairs: is it a run folder?")
    # Validation pairs are real, whatever is trained on: metrics are about real images.
    chosen = {"train": frozenset(settings.branches), "validation": frozenset({Branch.REAL})}
    origin = {"layout": "run", "run": str(stage.resolve()), "size": settings.size}
    _check_origin(folder, {**origin, "branches": sorted(chosen["train"])})
    capacity = sum(1 for split in chosen for _ in _usable(stage, split, chosen[split]))
    shape = (capacity, settings.size, settings.size)
    images = open_array(folder / "images.npy", np.uint8, shape)
    lines: list[str] = []
    lost: Counter[str] = Counter()
    num_train = 0
    for split, branches in chosen.items():
        for image, line in _readable(_usable(stage, split, branches), settings.size, lost):
            images[len(lines)] = image
            lines.append(line)
        num_train = num_train or len(lines)
    images.flush()
    if num_train < 2:
        raise DataError(
            f"{stage} has {num_train} living train pairs with image and report; need 2 "
            f"(data.branches: {', '.join(settings.branches)})"
        )
    if lost:
        log.warning(
            "%d of %d images cannot be read and are left out (%s)",
            lost.total(),
            capacity,
            counts_of(lost),
        )
    text = "".join(f"{line}\n" for line in lines)
    write_file(folder / "reports.jsonl", text.encode())
    return FINDINGS, num_train


def _usable(stage: Path, split: str, branches: frozenset[Branch]) -> Iterator[Pair]:
    for pair in read_pairs(stage):
        is_living = pair.drop is None and pair.split == split and pair.branch in branches
        if is_living and pair.image is not None and pair.report.text:
            yield pair


def _readable(
    pairs: Iterable[Pair], size: int, lost: Counter[str]
) -> Iterator[tuple[np.ndarray, str]]:
    """Images with their lines; unusable ones are counted in `lost`, by reason."""
    for pair in pairs:
        assert pair.image is not None
        try:
            image = as_bytes(fit_square(load_image(pair.image), size))
        except ImageError as error:
            lost[error.reason] += 1
            continue
        states = [pair.labels.get(name) for name in FINDINGS]
        labels = [None if state is None else float(state) for state in states]
        yield image, _line([pair.report.text], labels)


def counts_of(lost: Counter[str]) -> str:
    """Reasons with their counts, for messages."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))


def as_bytes(image: np.ndarray) -> np.ndarray:
    """`image`, float in [0, 1], as uint8."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def _join(findings: str, impression: str) -> str:
    return f"{impression.strip()} {findings.strip()}".strip()


def _line(reports: list[str], labels: list[Any]) -> str:
    return json.dumps({"reports": reports, "labels": labels})


def _check_origin(folder: Path, origin: dict[str, Any]) -> None:
    path = folder / "cache.json"
    found = _origin(folder)
    if found is None:
        write_file(path, (json.dumps(origin, indent=2) + "\n").encode())
        return
    changed = sorted(key for key in origin if found.get(key) != origin[key])
    if changed:
        raise SettingsError(
            f"{folder} holds images of other settings ({', '.join(changed)} changed). "
            "Use the former settings, or name another folder as data.cache."
        )


def _origin(folder: Path) -> dict[str, Any] | None:
    """The images' record in `cache.json`; None if all must be rendered or read again."""
    path = folder / "cache.json"
    try:
        found = read_json_object(path, RunError, "its images are rendered or read again")
    except FileNotFoundError as error:
        if (folder / "images.npy").exists():
            raise RunError(
                f"{folder} has images.npy without the cache.json that describes it. Delete "
                "images.npy, or name another folder as data.cache."
            ) from error
        return None
    except RunError as error:
        log.warning("%s", error)
        # The settings of these images are unknown.
        for name in ("images.npy", "reports.jsonl"):
            (folder / name).unlink(missing_ok=True)
        return None
    _remove_damaged(folder, len(LABELS if found.get("layout") == "phantom" else FINDINGS))
    return found


def _remove_damaged(folder: Path, num_labels: int) -> None:
    """Removes images that are damaged, or that are missing for some of their lines."""
    images, reports = folder / "images.npy", folder / "reports.jsonl"
    if not images.exists() and not reports.exists():
        return
    try:
        num_images = len(np.load(images, mmap_mode="r"))
        rows = _rows_in(reports) if reports.exists() else []
        is_whole = len(rows) <= num_images and all(len(row.labels) == num_labels for row in rows)
    except (OSError, ValueError, TypeError, EOFError):
        is_whole = False
    if not is_whole:
        log.warning("the images in %s are damaged and are rendered or read again", folder)
        for path in (images, reports):
            path.unlink(missing_ok=True)


def _rows_in(path: Path) -> list[_ImageRow]:
    """Rows of all complete lines; `ValueError` if a line is not a row."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [_ImageRow.model_validate(parse_json(line)) for line in lines if line.endswith(b"\n")]


def _num_lines(path: Path) -> int:
    if not path.exists():
        return 0
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        # A line cut off by an interruption is written again.
        os.truncate(path, complete)
    return content.count(b"\n")
