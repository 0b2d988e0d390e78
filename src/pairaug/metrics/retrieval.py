"""Finding an image's own report among all, and a report's image, without a matrix of all with all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

_MAX_SCORES = 16_000_000
"""Scores held in memory at once, four bytes each."""

# Nearer than this, two cosines in float32 are the same: which is greater is rounding's to say.
_TIE = 1e-6

Ranks = Int[np.ndarray, " pair"]


@dataclass(frozen=True, slots=True)
class RetrievalRanks:
    """Where the right answer of each pair stands, from 1."""

    reports: Ranks
    """Of each image's own report among the reports of all images."""
    images: Ranks
    """Of the best image that has a report's text among all images."""


def retrieval_ranks(
    images: Float32[np.ndarray, "pair dimension"],
    texts: Float32[np.ndarray, "text dimension"],
    text_of: Int[np.ndarray, " pair"],
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> RetrievalRanks:
    """The ranks of all pairs, by cosine of unit vectors.

    `texts` are the distinct reports and `text_of` says which one each image has. A report with the
    text of the own one is the own one: it is right, and never in front. Every other report counts
    as often as images have it. What ties with the right answer stands before it, so that a model
    that tells nothing apart finds nothing.
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
