"""An encoder with a cache of the vectors of images and reports."""

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
    """A pair's two unit vectors; `report` is None if the encoder is image-only."""

    image: np.ndarray
    report: np.ndarray | None


class PairScorer:
    """An encoder that encodes each distinct image and report once.

    Vectors wait in a temporary file, so that memory holds no more than their keys.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._images, self._reports = VectorStore(), VectorStore()
        self.windows = lru_cache(_WINDOWS_KEPT)(self._windows)

    def knows_image(self, key: bytes) -> bool:
        """True if the image is encoded already."""
        return key in self._images

    def add_images(self, images: dict[bytes, np.ndarray]) -> None:
        """Encodes new images."""
        self._images.add([*images], self.encoder.encode_images([*images.values()]))

    def add_reports(self, reports: dict[bytes, str]) -> None:
        """Encodes the reports that are new."""
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
    """The scores of a pair; with a source, `image_image` and `directional` too."""
    if source is None:
        return pair_scores(own.image, own.report)
    return pair_scores(own.image, own.report, source.image, source.report)


def rounded(scores: dict[str, float | None], places: int = 6) -> dict[str, float | None]:
    """Scores rounded for a trace."""
    return {name: None if value is None else round(value, places) for name, value in scores.items()}
