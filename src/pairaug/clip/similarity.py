"""Cosines between vectors, and between the changes of two pairs of vectors.

Each is computed alone in float64, so results do not depend on the batch.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " dimension"]

VANISHING = 1e-6
"""A shorter difference of unit vectors is rounding; float32 gives about 1e-7."""


def cosine(one: Vector, other: Vector) -> float | None:
    """The cosine of the angle between two vectors, in [-1, 1]; None if either vanishes.

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
    """The cosine between the changes of image and report; None if either did not change.

        S3 = cos(f(x') - f(x), g(y') - g(y))

    All four are unit vectors of one space; x, y is the source, x', y' the edited pair. The third
    term of the paper's hybrid consistency.
    """
    image_change = image.astype(np.float64) - source_image.astype(np.float64)
    report_change = report.astype(np.float64) - source_report.astype(np.float64)
    return cosine(image_change, report_change)


def pair_scores(
    image: Vector,
    report: Vector | None,
    source_image: Vector | None = None,
    source_report: Vector | None = None,
) -> dict[str, float | None]:
    """Score → value, of the paper's scores that the vectors allow; None where one is undefined.

    `image_report` needs the pair's own two vectors, `image_image` those of both images,
    `directional` all four.
    """
    scores: dict[str, float | None] = {}
    if report is not None:
        scores["image_report"] = cosine(image, report)
    if source_image is not None:
        scores["image_image"] = cosine(image, source_image)
        if report is not None and source_report is not None:
            scores["directional"] = directional_similarity(
                image, source_image, report, source_report
            )
    return scores
