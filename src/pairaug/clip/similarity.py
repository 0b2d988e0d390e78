"""Cosines between vectors, and between the changes of two pairs of vectors.

They are computed in float64 one by one, so that no neighbour in a batch can change a digit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " dimension"]

VANISHING = 1e-6
"""A difference of unit vectors no longer than this is rounding (float32 gives about 1e-7)."""


def cosine(one: Vector, other: Vector) -> float | None:
    """The cosine of the angle between two vectors, in [-1, 1]; None where either vanishes.

        cos(a, b) = a . b / (|a| |b|)

    Scale-free. Called S_a and S1 between image and report, S2 between two images.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) <= VANISHING:
        return None
    # Rounding can leave parallel vectors just outside the range of a cosine.
    return float(np.clip(np.dot(a, b) / (lengths[0] * lengths[1]), -1.0, 1.0))


def directional_similarity(
    image: Vector, source_image: Vector, report: Vector, source_report: Vector
) -> float | None:
    """The cosine between how the image and how the report changed; None where either did not.

        S3 = cos(f(x') - f(x), g(y') - g(y))

    All four are unit vectors of one space; x, y is the source, x', y' the edited pair. The third
    term of the paper's hybrid consistency.
    """
    moved_image = image.astype(np.float64) - source_image.astype(np.float64)
    moved_report = report.astype(np.float64) - source_report.astype(np.float64)
    return cosine(moved_image, moved_report)


def pair_scores(
    image: Vector,
    report: Vector | None,
    source_image: Vector | None = None,
    source_report: Vector | None = None,
) -> dict[str, float | None]:
    """Those of the paper's scores that the vectors allow, by name; null where one does not exist.

    `image_report` needs the pair's own two vectors, `image_image` both images', `change` all four.
    """
    scores: dict[str, float | None] = {}
    if report is not None:
        scores["image_report"] = cosine(image, report)
    if source_image is not None:
        scores["image_image"] = cosine(image, source_image)
        if report is not None and source_report is not None:
            scores["change"] = directional_similarity(image, source_image, report, source_report)
    return scores
