"""The pairs of one training from all its sources, with its validation pairs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from pairaug.errors import DataError, SettingsError
from pairaug.pair import Report
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.clip.sources import BRANCHES, PairSource, is_used, subset
from pairaug.train.clip.store import Store, StoreSettings, open_store
from pairaug.train.image_dataset import open_dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Pairs by position: the first `num_train` for training, the rest for validation."""

    images: Callable[[np.ndarray], np.ndarray]
    """Positions to uint8 images, `image height width`."""
    size: int
    """Side of the images in pixels."""
    reports: tuple[tuple[str, ...], ...]
    """Texts of each pair, the same number for all; a step takes one of them."""
    branches: np.ndarray
    """int8 per training pair: index into `BRANCHES`."""
    weights: np.ndarray
    """float64 per training pair: number of times it is in an epoch, on average."""
    num_train: int
    fingerprint: str
    """A hash of the pairs and their order."""

    @property
    def validation(self) -> np.ndarray:
        """Positions of the validation pairs."""
        return np.arange(self.num_train, len(self.reports))


def open_pairs(settings: ClipSettings, size: int | None, out: Path) -> TrainingPairs:
    """The pairs of the settings; images are decoded or rendered first if that is not done yet.

    `size` is the side of the model's images, if known.
    """
    if not settings.sources:
        return _of_images(settings, size, out)
    kept = StoreSettings(
        size or settings.data.size,
        settings.fit,
        settings.streamed,
        settings.num_workers,
        settings.seed,
    )
    cache = settings.cache or out / "cache"
    validation_sources = _validation(settings)
    stores: dict[str, Store] = {}

    def store_of(source: PairSource) -> Store:
        key = source.model_dump_json(include={"run", "export", "read"})
        if key not in stores:
            stores[key] = open_store(source, kept, cache)
        return stores[key]

    train = [(store_of(source), source) for source in settings.sources]
    validation = [(store_of(source), source) for source in validation_sources]
    chosen = [_chosen(store, source, settings.seed) for store, source in train]
    for (_, source), indices in zip(train, chosen, strict=True):
        if not len(indices):
            raise DataError(f"{source.where} has no pairs of {_wanted(source)}; check sources")
    _check_patients(stores.values(), train, chosen)
    later = _validation_indices(validation, settings)
    return _join(train, chosen, validation, later, settings, kept.size)


def _of_images(settings: ClipSettings, size: int | None, out: Path) -> TrainingPairs:
    dataset = open_dataset(settings.data, out)
    if size is not None and size != dataset.images.shape[1]:
        raise SettingsError(
            f"data.size is {dataset.images.shape[1]}, but the model takes {size} pixels a side: "
            f"set data.size to {size}"
        )
    last = min(len(dataset.images), dataset.num_train + settings.max_validation_pairs)
    return TrainingPairs(
        images=lambda positions: dataset.images[positions],
        size=dataset.images.shape[1],
        reports=dataset.reports[:last],
        branches=np.zeros(dataset.num_train, np.int8),
        weights=np.ones(dataset.num_train),
        num_train=dataset.num_train,
        fingerprint=dataset.fingerprint,
    )


def _validation(settings: ClipSettings) -> Sequence[PairSource]:
    if not settings.max_validation_pairs:
        return ()
    if settings.validation is not None:
        return settings.validation
    # A source named twice, for two branches, gives its validation pairs once.
    seen: dict[str, PairSource] = {}
    for source in settings.sources:
        origin = {"run": source.run, "export": source.export, "read": source.read}
        validation = PairSource.model_validate(
            {**origin, "branches": ("real",), "split": "validation"}
        )
        seen.setdefault(validation.model_dump_json(), validation)
    return list(seen.values())


def _chosen(store: Store, source: PairSource, seed: int) -> np.ndarray:
    indices = [index for index, row in enumerate(store.rows) if is_used(row, source)]
    if source.max_pairs is not None and len(indices) > source.max_pairs:
        ids = [store.rows[index]["id"] for index in indices]
        own_seed = seed if source.subset_seed is None else source.subset_seed
        indices = [indices[index] for index in subset(ids, source.max_pairs, own_seed)]
    return np.array(indices, dtype=np.int64)


def _validation_indices(
    validation: Sequence[tuple[Store, PairSource]], settings: ClipSettings
) -> list[np.ndarray]:
    """Indices into each store, in total at most as many as the settings allow."""
    indices = [_chosen(store, source, settings.seed) for store, source in validation]
    total = sum(map(len, indices))
    fraction = min(1.0, settings.max_validation_pairs / max(total, 1))
    return [each[: round(fraction * len(each))] for each in indices]


def _check_patients(
    stores: Iterable[Store],
    train: Sequence[tuple[Store, PairSource]],
    chosen: Sequence[np.ndarray],
) -> None:
    """Raises `DataError` if the patient of a training pair has real pairs in another split.

    A synthetic pair counts as its source's patient. Messages give numbers, not ids.
    """
    splits: dict[tuple[str, str], set[str]] = {}
    for store in stores:
        for row in store.rows:
            if row["branch"] == "real":
                splits.setdefault(_patient(row), set()).add(row["split"])
    for (store, source), indices in zip(train, chosen, strict=True):
        leaks = [
            store.rows[index]["branch"] != "real"
            for index in indices
            if splits.get(_patient(store.rows[index]), {source.split}) != {source.split}
        ]
        if leaks:
            raise DataError(
                f"{source.where}: {len(leaks)} of {len(indices)} pairs, {sum(leaks)} of them "
                f"synthetic, are of patients with real pairs in another split than {source.split}. "
                "Split patients once, and generate synthetic pairs from that split."
            )


def _patient(row: Mapping[str, Any]) -> tuple[str, str]:
    """The patient of a pair, or of its source; distinct between datasets."""
    dataset = row["id"].partition("/")[0]
    return dataset, row["source_patient_id"] or row["patient_id"]


def _join(
    train: Sequence[tuple[Store, PairSource]],
    chosen: Sequence[np.ndarray],
    validation: Sequence[tuple[Store, PairSource]],
    later: Sequence[np.ndarray],
    settings: ClipSettings,
    size: int,
) -> TrainingPairs:
    stores = [store for store, _ in (*train, *validation)]
    indices = [*chosen, *later]
    owner = np.repeat(np.arange(len(stores)), [len(each) for each in indices])
    index = np.concatenate(indices) if indices else np.zeros(0, np.int64)
    rows = [stores[own].rows[at] for own, at in zip(owner, index, strict=True)]
    num_train = sum(map(len, chosen))
    ids = [row["id"] for row in rows]
    if len(set(ids)) != len(ids):
        raise SettingsError(
            f"{len(ids) - len(set(ids))} pairs are in two entries of sources and validation; "
            "name each once, and use weight to repeat pairs"
        )

    def images(positions: np.ndarray) -> np.ndarray:
        pixels = np.empty((len(positions), size, size), np.uint8)
        for own in np.unique(owner[positions]):
            inside = owner[positions] == own
            pixels[inside] = stores[own].images(index[positions[inside]])
        return pixels

    weights = [np.full(len(each), of.weight) for each, (_, of) in zip(chosen, train, strict=True)]
    branches = [BRANCHES.index(row["branch"]) for row in rows[:num_train]]
    digest = sha256("\n".join((*ids, str(num_train))).encode()).hexdigest()
    counts = {name: branches.count(number) for number, name in enumerate(BRANCHES)}
    log.info("%d pairs to train on %s, %d for validation", num_train, counts, len(rows) - num_train)
    return TrainingPairs(
        images=images,
        size=size,
        reports=tuple((_caption(row, settings.sections),) for row in rows),
        branches=np.array(branches, np.int8),
        weights=np.concatenate(weights),
        num_train=num_train,
        fingerprint=digest,
    )


def _caption(row: Mapping[str, Any], sections: str) -> str:
    return Report(row["findings"], row["impression"]).text_of(sections)


def _wanted(source: PairSource) -> str:
    return f"split {source.split} and of branches {', '.join(source.branches)}"
