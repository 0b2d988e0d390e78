"""A scorer at work: its encoder, and the vector of every image and report that it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pairaug.clip.similarity import pair_scores
from pairaug.clip.vectors import VectorStore

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder
    from pairaug.clip.window import Windows

_WINDOWS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class PairVectors:
    """A pair's two unit vectors; no report's where the scorer encodes images only."""

    image: np.ndarray
    report: np.ndarray | None


class PairScorer:
    """One encoder, which is asked for each distinct image and report once in its life.

    Vectors wait in a temporary file, so that memory holds no more than their keys.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._images, self._reports = VectorStore(), VectorStore()
        self.windows = lru_cache(_WINDOWS_KEPT)(self._windows)

    def knows_image(self, key: bytes) -> bool:
        """True if the image needs not be decoded again."""
        return key in self._images

    def add_images(self, images: dict[bytes, np.ndarray]) -> None:
        """Encodes images that are not known yet."""
        self._images.add([*images], self.encoder.encode_images([*images.values()]))

    def add_reports(self, reports: dict[bytes, str]) -> None:
        """Encodes those reports that are not known yet."""
        if not self.encoder.encodes_reports:
            return
        new = {key: text for key, text in reports.items() if key not in self._reports}
        self._reports.add([*new], self.encoder.encode_reports([*new.values()]))

    def vectors(self, image: bytes, report: bytes) -> PairVectors:
        """The vectors of a pair that was added before."""
        has_report = self.encoder.encodes_reports
        return PairVectors(self._images[image], self._reports[report] if has_report else None)

    def _windows(self, report: str) -> Windows:
        return self.encoder.windows(report)


def scores_of(own: PairVectors, source: PairVectors | None) -> dict[str, float | None]:
    """The cosines of a pair, and with a source those of the change; see `stage.Score`."""
    if source is None:
        return pair_scores(own.image, own.report)
    return pair_scores(own.image, own.report, source.image, source.report)


def rounded(scores: dict[str, float | None], places: int = 6) -> dict[str, float | None]:
    """Scores as they are noted in a trace, where they are read and not reckoned with."""
    return {name: None if value is None else round(value, places) for name, value in scores.items()}
