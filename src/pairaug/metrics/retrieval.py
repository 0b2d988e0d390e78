"""Ranks of image-to-report and report-to-image retrieval, without the full score matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

_MAX_SCORES = 16_000_000
"""Scores held in memory at once, four bytes each."""

# Cosines in float32 that differ by less than this are ties: the difference is rounding.
_TIE = 1e-6

Ranks = Int[np.ndarray, " pair"]


@dataclass(frozen=True, slots=True)
class RetrievalRanks:
    """Rank of the right answer for each pair, from 1."""

    reports: Ranks
    """Each image's own report among the reports of all images."""
    images: Ranks
    """The best image with a report's text among all images."""


def retrieval_ranks(
    images: Float32[np.ndarray, "pair dimension"],
    texts: Float32[np.ndarray, "text dimension"],
    text_of: Int[np.ndarray, " pair"],
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> RetrievalRanks:
    """Ranks of all pairs, by cosine of unit vectors.

    `texts` are the distinct reports and `text_of` is each image's index into them. A report with
    the same text as the image's own counts as right. Every other report counts once per image that
    has it. Ties rank before the right answer, so constant vectors retrieve
    nothing.
    """
    num, num_texts = len(images), len(texts)
    copies = np.bincount(text_of, minlength=num_texts)
    own = np.einsum("pd,pd->p", images, texts[text_of])
    best = np.full(num_texts, -np.inf, dtype=np.float32)
    np.maximum.at(best, text_of, own)
    before_reports = np.zeros(num, dtype=np.int64)
    before_images = np.zeros(num_texts, dtype=np.int64)
    at_once = max(1, _MAX_SCORES // max(1, num_texts))
    for start in range(0, num, at_once):
        rows = slice(start, min(start + at_once, num))
        scores = images[rows] @ texts.T
        scores[np.arange(len(scores)), text_of[rows]] = -np.inf
        before_reports[rows] = (scores >= own[rows, None] - _TIE) @ copies
        before_images += (scores >= best - _TIE).sum(axis=0)
        report_progress(len(scores))
    return RetrievalRanks(before_reports + 1, before_images[text_of] + 1)
