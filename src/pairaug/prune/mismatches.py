"""Scores of mismatched pairs: an image with the report, or the source, of another patient.

    image_report   cos(f(x'_i), g(y'_j))                      image of one, report of another
    image_image    cos(f(x'_i), f(x_j))                       image of one, source of another
    directional    cos(f(x'_i) - f(x_i), g(y'_j) - g(y_j))    change of one's image and
                                                              of another's report

for pairs i, j of a branch of different patients; y is the text that was rewritten. Pairs are
sampled by a hash of their ids, so the distribution depends on neither order nor parts.
"""

from __future__ import annotations

import numpy as np

from pairaug.clip.similarity import VANISHING
from pairaug.prune.columns import Columns, Vectors
from pairaug.prune.sampling import LowestHashes

_RECORDED = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class MismatchSample:
    """A sample of a branch's vectors and of their sources'."""

    def __init__(self, size: int) -> None:
        self._sample = LowestHashes(size)

    def add(self, columns: Columns, sources: Columns) -> None:
        """Offers the pairs of a branch in a part; `sources` are the real pairs of the part."""
        if columns.vectors is None or not len(columns):
            return
        rows = np.flatnonzero(columns.vectors.is_there)
        own, ids = columns.vectors.take(rows), columns.ids[rows]
        assert own.source_reports is not None
        source_images = _source_images(columns.parents[rows], sources, own)
        self._sample.add(
            ids, columns.patients[rows], own.images, own.reports, source_images, own.source_reports
        )

    def values(self, score: str) -> np.ndarray:
        """The score between pairs of different patients: float64, shape `value`, sorted."""
        if len(self._sample) < 2:
            return np.empty(0)
        patients, images, reports, source_images, source_reports = self._sample.arrays()
        sides = {
            "image_report": (images, reports),
            "image_image": (images, source_images),
            "directional": (_changes(images, source_images), _changes(reports, source_reports)),
        }[score]
        one, other = (_unit(side) for side in sides)
        is_other_patient = patients[:, None] != patients[None, :]
        values = (one @ other.T)[is_other_patient]
        return np.sort(values[np.isfinite(values)])


def described(values: np.ndarray) -> dict[str, object]:
    """The record of a distribution: number of values, mean, standard deviation and quantiles."""
    return {
        "num_values": len(values),
        "mean": round(float(values.mean()), 9),
        "deviation": round(float(values.std()), 9),
        "quantiles": {f"{q:g}": quantile_of(values, q) for q in _RECORDED},
    }


def quantile_of(values: np.ndarray, quantile: float) -> float:
    """The quantile, to nine places: further ones differ between machines that multiply."""
    return round(float(np.quantile(values, quantile, method="inverted_cdf")), 9)


def _source_images(parents: np.ndarray, sources: Columns, own: Vectors) -> np.ndarray:
    """The vector of each parent's image, NaN where it has none."""
    row_of = {name: row for row, name in enumerate(sources.ids)}
    rows = np.array([row_of.get(parent, -1) for parent in parents], dtype=np.int64)
    images = np.full_like(own.images, np.nan)
    is_known = rows >= 0
    if sources.vectors is not None and is_known.any():
        is_known[is_known] = sources.vectors.is_there[rows[is_known]]
        images[is_known] = sources.vectors.images[rows[is_known]]
    return images


def _changes(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return after.astype(np.float64) - before.astype(np.float64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float64; NaN where a row vanishes."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > VANISHING, lengths, np.nan)
