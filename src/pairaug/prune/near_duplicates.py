"""Copies: near-duplicate synthetic pairs, and synthetic images that nearly equal a real one.

The bound comes from the real pairs: for a sample of them, take the similarity to the nearest pair
of another patient; the bound is a quantile of these. So a copy is closer than real patients are to
each other. All pairs are compared exactly, in blocks; their vectors are kept in a temporary file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from pairaug.clip.vectors import VectorFile
from pairaug.errors import RunError
from pairaug.pair import Branch
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, Vectors, joined
from pairaug.prune.sampling import LowestHashes
from pairaug.settings import StageSettings

REASONS = {
    "duplicate": "a better synthetic pair has nearly the same image and nearly the same report",
    "memorised": "the image is nearly that of a real patient of the training split",
}

_BLOCK = 2048
_SAMPLE = 2048


class DuplicateRule(StageSettings):
    """Drops all but the best of synthetic pairs that are nearly the same.

        similarity of two pairs = min(cos of their images, cos of their reports)

    The best pair has the highest `image_report`; of equal ones, the smaller id.
    """

    quantile: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="Two synthetic pairs are duplicates if they are more similar than this "
        "fraction of real training pairs is to the nearest pair of another patient.",
    )


class MemorisedRule(StageSettings):
    """Drops synthetic images that are too close to a real image of the training split.

    An edit is not compared with images of its own patient, which it is meant to resemble.
    """

    quantile: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="An image is a copy if it is more similar to a real training image than this "
        "fraction of these images is to the nearest one of another patient.",
    )


class Copies:
    """Collects vectors in one pass over the parts, then finds copies."""

    def __init__(self, duplicate: DuplicateRule | None, memorised: MemorisedRule | None) -> None:
        self._duplicate, self._memorised = duplicate, memorised
        self._real = _VectorFiles()
        self._real_patients: list[np.ndarray] = []
        self._sample = LowestHashes(_SAMPLE)
        self._synthetic = _VectorFiles()
        self._groups: list[Columns] = []

    def add(self, columns: Columns) -> None:
        """Adds a part; pairs without vectors are ignored."""
        if columns.vectors is None:
            return
        can_be = columns.is_living & columns.vectors.is_there
        is_real = columns.branches == Branch.REAL.value
        real = columns.take(np.flatnonzero(can_be & is_real & (columns.splits == "train")))
        if len(real) and real.vectors is not None:
            self._real.append(real.vectors)
            self._real_patients.append(real.patients)
            self._sample.add(real.ids, real.patients, real.vectors.images, real.vectors.reports)
        synthetic = columns.take(np.flatnonzero(can_be & ~is_real))
        if len(synthetic) and synthetic.vectors is not None:
            self._synthetic.append(synthetic.vectors)
            self._groups.append(synthetic)

    def find(
        self, apply: Callable[[Columns], Failures]
    ) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
        """(what was measured, pair id → reason and detail) among the pairs that `apply` keeps."""
        found: dict[str, tuple[str, str]] = {}
        measured: dict[str, Any] = {}
        if not self._groups:
            return measured, found
        synthetic = joined(self._groups)
        is_kept = np.ones(len(synthetic), dtype=bool)
        is_kept[list(apply(synthetic))] = False
        patients = np.concatenate(self._real_patients) if self._real_patients else np.empty(0)
        if self._memorised:
            num_kept = int(is_kept.sum())
            bound = self._bound(patients, self._memorised.quantile, with_reports=False)
            nearest = self._nearest_real(synthetic, is_kept, patients)
            rows = np.flatnonzero(is_kept & (nearest > bound))
            for row in rows:
                detail = f"{nearest[row]:.4f} > {bound:.4f}"
                found[synthetic.ids[row]] = ("memorised", f"nearest real image {detail}")
            is_kept[rows] = False
            measured["memorised"] = self._measured(
                self._memorised.quantile, bound, num_kept, len(rows), nearest
            )
        if self._duplicate:
            num_kept = int(is_kept.sum())
            bound = self._bound(patients, self._duplicate.quantile, with_reports=True)
            duplicates, nearest = self._duplicates(synthetic, is_kept, bound)
            for row, value in duplicates.items():
                detail = f"nearest kept pair {value:.4f} > {bound:.4f}"
                found[synthetic.ids[row]] = ("duplicate", detail)
            measured["duplicate"] = self._measured(
                self._duplicate.quantile, bound, num_kept, len(duplicates), nearest
            )
        return measured, found

    def _measured(
        self,
        quantile: float,
        bound: float,
        num_compared: int,
        num_found: int,
        nearest: np.ndarray,
    ) -> dict[str, Any]:
        compared = nearest[np.isfinite(nearest)]
        return {
            "quantile": quantile,
            "bound": bound,
            "num_real": len(self._real),
            "num_sampled": len(self._sample),
            "num_compared": num_compared,
            "num_found": num_found,
            "nearest": round(float(compared.max()), 6) if len(compared) else None,
        }

    def _bound(self, patients: np.ndarray, quantile: float, *, with_reports: bool) -> float:
        """The quantile of real pairs' similarity to the nearest one of another patient."""
        nearest = np.empty(0)
        if len(self._sample):
            own, images, reports = self._sample.arrays()
            nearest = np.full(len(own), -np.inf)
            for start, block in self._real.blocks():
                values = images @ block.images.T
                if with_reports:
                    values = np.minimum(values, reports @ block.reports.T)
                other = patients[start : start + len(values.T)]
                values[own[:, None] == other[None, :]] = -np.inf
                nearest = np.maximum(nearest, values.max(axis=1))
            nearest = nearest[np.isfinite(nearest)]
        if not len(nearest):
            raise RunError(
                "prune.duplicate and prune.memorised are calibrated on real training pairs of at "
                "least two patients, with the vectors that score stores; the run has none. Leave "
                "both out, or read real pairs of the split train."
            )
        return round(float(np.quantile(nearest, quantile, method="inverted_cdf")), 6)

    def _nearest_real(
        self, synthetic: Columns, is_kept: np.ndarray, patients: np.ndarray
    ) -> np.ndarray:
        """The similarity of each kept image to the nearest real one; -inf where none counts."""
        nearest = np.full(len(synthetic), -np.inf)
        is_edit = synthetic.branches == Branch.INTRA.value
        for start, block in self._synthetic.blocks():
            rows = start + np.flatnonzero(is_kept[start : start + len(block.images)])
            if not len(rows):
                continue
            images = block.images[rows - start]
            for first, real in self._real.blocks():
                values = images @ real.images.T
                other = patients[first : first + len(real.images)]
                is_own = synthetic.patients[rows][:, None] == other[None, :]
                values[is_own & is_edit[rows][:, None]] = -np.inf
                nearest[rows] = np.maximum(nearest[rows], values.max(axis=1))
        return nearest

    def _duplicates(
        self, synthetic: Columns, is_kept: np.ndarray, bound: float
    ) -> tuple[dict[int, float], np.ndarray]:
        """(row → similarity to a kept pair of higher rank, of the duplicates; the same similarity
        of all kept pairs, by rank).
        """
        rows = np.flatnonzero(is_kept)
        scores = synthetic.table_of(["image_report"])[rows, 0]
        ranked = rows[np.lexsort((synthetic.ids[rows], -np.nan_to_num(scores, nan=-2.0)))]
        files = _VectorFiles()
        for start in range(0, len(ranked), _BLOCK):
            files.append(self._synthetic.rows(ranked[start : start + _BLOCK]))
        similarity = np.full(len(ranked), -np.inf)
        for start, block in files.blocks():
            here = slice(start, start + len(block.images))
            for first, earlier in files.blocks(until=start):
                # A pair that is a duplicate itself makes no other pair a duplicate.
                is_first = similarity[first : first + len(earlier.images)] <= bound
                values = _pair_similarity(block, earlier.take(np.flatnonzero(is_first)))
                if values.shape[1]:
                    similarity[here] = np.maximum(similarity[here], values.max(axis=1))
            inside = _pair_similarity(block, block)
            own = similarity[here]
            for row in range(len(own)):
                if own[row] <= bound:
                    own[row + 1 :] = np.maximum(own[row + 1 :], inside[row, row + 1 :])
            similarity[here] = own
        duplicates = {
            int(row): float(value)
            for row, value in zip(ranked, similarity, strict=True)
            if value > bound
        }
        return duplicates, similarity


def _pair_similarity(one: Vectors, other: Vectors) -> np.ndarray:
    """min(cos of images, cos of reports), `pair other`."""
    return np.minimum(one.images @ other.images.T, one.reports @ other.reports.T)


class _VectorFiles:
    """The vectors of images and of reports, side by side in files."""

    def __init__(self) -> None:
        self._images, self._reports = VectorFile(), VectorFile()

    def __len__(self) -> int:
        return len(self._images)

    def append(self, vectors: Vectors) -> None:
        self._images.append(vectors.images)
        self._reports.append(vectors.reports)

    def blocks(self, until: int | None = None) -> Iterator[tuple[int, Vectors]]:
        """(first row, vectors) of consecutive blocks."""
        for start in range(0, len(self) if until is None else until, _BLOCK):
            images = self._images.read(start, start + _BLOCK)
            reports = self._reports.read(start, start + _BLOCK)
            yield start, Vectors(images, reports, np.ones(len(images), dtype=bool))

    def rows(self, rows: np.ndarray) -> Vectors:
        images = np.stack([self._images.row(int(row)) for row in rows])
        reports = np.stack([self._reports.row(int(row)) for row in rows])
        return Vectors(images, reports, np.ones(len(rows), dtype=bool))
