"""The columns that rules are fitted on: scores of many pairs as arrays, one entry a pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pairaug.manifest import read_columns
from pairaug.pair import SCORES, Branch, Drop

# Its functions are made at import, so no type checker knows them.
pc: Any = pyarrow.compute

_PLAIN = ("id", "parent_id", "branch", "drop_stage")
_FOR_VECTORS = ("patient_id", "source_patient_id", "split")
_VECTORS = ("image_embedding", "report_embedding", "source_report_embedding")


class Scored(Protocol):
    """The fields of a pair that fitting reads."""

    @property
    def branch(self) -> Branch: ...

    @property
    def scores(self) -> Mapping[str, float | None]: ...

    @property
    def drop(self) -> Drop | None: ...


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit vectors of images and reports, float32 `pair dimension`; zeros where there is none."""

    images: np.ndarray
    reports: np.ndarray
    is_there: np.ndarray
    """Boolean: the pair has both."""
    source_reports: np.ndarray | None = None
    """Of the texts that reports were rewritten from; NaN where there is none."""

    def take(self, rows: np.ndarray) -> Vectors:
        """These rows alone."""
        texts_before = None if self.source_reports is None else self.source_reports[rows]
        return Vectors(self.images[rows], self.reports[rows], self.is_there[rows], texts_before)


@dataclass(frozen=True, slots=True)
class Columns:
    """Pairs as columns, in the order of the part."""

    ids: np.ndarray
    parents: np.ndarray
    """The id of the pair that each was made from; empty for none."""
    branches: np.ndarray
    patients: np.ndarray
    """The patient whose data a pair rests on: a synthetic pair's source patient."""
    splits: np.ndarray
    is_living: np.ndarray
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Score name → float64, NaN where there is none."""
    vectors: Vectors | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Columns:
        """These rows alone, in their order."""
        changed: dict[str, Any] = {
            each.name: getattr(self, each.name)[rows]
            for each in fields(self)
            if each.name not in ("scores", "vectors")
        }
        scores = {name: values[rows] for name, values in self.scores.items()}
        vectors = None if self.vectors is None else self.vectors.take(rows)
        return Columns(**changed, scores=scores, vectors=vectors)

    def rows_of(self, branch: Branch) -> np.ndarray:
        """The rows of the living pairs of a branch."""
        return np.flatnonzero(self.is_living & (self.branches == branch.value))

    def table_of(self, names: Sequence[str]) -> np.ndarray:
        """The scores of these names, float64 `pair score`."""
        empty = np.full(len(self), np.nan)
        return np.stack([self.scores.get(name, empty) for name in names], axis=1)


def columns_of(pairs: Iterable[Scored]) -> Columns:
    """The columns of pairs in memory."""
    rows = list(pairs)
    scores = {
        name: np.array([_number(pair.scores.get(name)) for pair in rows], dtype=np.float64)
        for name in SCORES
    }
    return Columns(
        ids=_texts([getattr(pair, "id", "") for pair in rows]),
        parents=_texts([getattr(pair, "parent_id", None) or "" for pair in rows]),
        branches=_texts([pair.branch.value for pair in rows]),
        patients=_texts(
            [
                getattr(pair, "source_patient_id", None) or getattr(pair, "patient_id", "")
                for pair in rows
            ]
        ),
        splits=_texts([getattr(pair, "split", "") for pair in rows]),
        is_living=np.array([pair.drop is None for pair in rows], dtype=bool),
        scores=scores,
        vectors=_stacked(
            [getattr(pair, "image_embedding", None) for pair in rows],
            [getattr(pair, "report_embedding", None) for pair in rows],
            [getattr(pair, "source_report_embedding", None) for pair in rows],
        ),
    )


def columns_of_part(path: Path, *, with_vectors: bool = False) -> Columns:
    """The columns of a part on disk, read without its texts and images."""
    wanted = [*_PLAIN, "scores", *([*_FOR_VECTORS, *_VECTORS] if with_vectors else ())]
    table = read_columns(path, wanted)
    return columns_of_table(table, with_vectors=with_vectors, for_fitting=with_vectors)


def columns_of_table(
    table: pa.Table, *, with_vectors: bool = False, for_fitting: bool = True
) -> Columns:
    """The columns of a part's table; patients and splits count for fitting only, else are empty."""
    unknown = np.full(len(table), "", dtype=object)
    patients = splits = unknown
    if for_fitting:
        patients = _objects(pc.coalesce(table["source_patient_id"], table["patient_id"]))
        splits = _objects(table["split"])
    scores = {
        name: pc.struct_field(table["scores"], name).to_numpy().astype(np.float64)
        for name in SCORES
    }
    return Columns(
        ids=_objects(table["id"]),
        parents=_objects(table["parent_id"].fill_null("")),
        branches=_objects(table["branch"]),
        patients=patients,
        splits=splits,
        is_living=table["drop_stage"].is_null().to_numpy(),
        scores=scores,
        vectors=_vectors_of(table) if with_vectors else None,
    )


def joined(groups: Sequence[Columns]) -> Columns:
    """The rows of all groups, without their vectors."""
    changed: dict[str, Any] = {
        each.name: np.concatenate([getattr(group, each.name) for group in groups])
        for each in fields(Columns)
        if each.name not in ("scores", "vectors")
    }
    scores = {name: np.concatenate([group.scores[name] for group in groups]) for name in SCORES}
    return Columns(**changed, scores=scores)


def _vectors_of(table: pa.Table) -> Vectors:
    images, has_image = _matrix(table["image_embedding"])
    reports, has_report = _matrix(table["report_embedding"])
    texts_before, has_before = _matrix(table["source_report_embedding"])
    sources = np.full_like(reports, np.nan)
    if has_before.any():
        sources[has_before] = texts_before[has_before]
    return Vectors(images, reports, has_image & has_report, sources)


def _matrix(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(float32 `row dimension`, true where a row has a vector)."""
    is_there = column.is_valid().to_numpy()
    values = pc.list_flatten(column).to_numpy()
    dimension = len(values) // max(1, int(is_there.sum()))
    matrix = np.zeros((len(column), dimension), dtype=np.float32)
    # A part of dropped pairs has no vector, and so no dimension to count with.
    matrix[is_there] = values.reshape(int(is_there.sum()), dimension)
    return matrix, is_there


def _stacked(
    images: Sequence[Any], reports: Sequence[Any], source_reports: Sequence[Any]
) -> Vectors | None:
    is_there = np.array(
        [
            image is not None and report is not None
            for image, report in zip(images, reports, strict=True)
        ],
        dtype=bool,
    )
    if not is_there.any():
        return None
    matrices = []
    for rows in (images, reports):
        present = np.array([rows[place] for place in np.flatnonzero(is_there).tolist()], np.float32)
        matrix = np.zeros((len(is_there), present.shape[1]), dtype=np.float32)
        matrix[is_there] = present
        matrices.append(matrix)
    texts_before = np.full_like(matrices[1], np.nan)
    for place, vector in enumerate(source_reports):
        if vector is not None:
            texts_before[place] = vector
    return Vectors(matrices[0], matrices[1], is_there, texts_before)


def _objects(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy()


def _texts(values: Sequence[str]) -> np.ndarray:
    return np.array(values, dtype=object)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
