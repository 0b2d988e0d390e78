"""Image-to-report and report-to-image retrieval: recall at k.

Reports with the same text count as one answer: each of their images is right for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pairaug.errors import DataError, ModelError
from pairaug.evaluate.data import ReportData, features_of, open_cases
from pairaug.evaluate.data.settings import PhantomData
from pairaug.evaluate.encoders import MODEL, EncoderEvaluation, encoder_record, open_scorer
from pairaug.evaluate.results import text_table, write_result
from pairaug.metrics import Estimate, fraction
from pairaug.metrics.retrieval import RetrievalRanks, retrieval_ranks

_DIRECTIONS = {"image to report": "reports", "report to image": "images"}


class RetrievalSettings(EncoderEvaluation):
    """Retrieval between images and reports."""

    model: str = MODEL
    data: ReportData = Field(default_factory=PhantomData, description="Pairs to evaluate.")
    ranks: tuple[int, ...] = Field(
        (1, 5, 10), min_length=1, description="Ranks k at which recall is taken."
    )


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall at k in one direction for each k, and ranks of the right answers."""

    at: dict[int, Estimate]
    median_rank: float


def run_retrieval(
    settings: RetrievalSettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """Writes `retrieval.json` and the table `retrieval.txt` to `out`; returns the former's path.

    `report_progress` counts encoded images.
    """
    encoder = open_scorer(settings.model, settings)
    if not encoder.encodes_reports:
        raise ModelError("retrieval needs a text tower, and this model encodes images only")
    cases = open_cases(settings.data)
    features = features_of(
        cases, settings.data, [encoder], with_reports=True, report_progress=report_progress
    )
    if not all(features.reports):
        raise DataError("some pairs of the data have no report; retrieval needs one for each image")
    numbers: dict[str, int] = {}
    # Numbered in the order of first use.
    text_of = np.array([numbers.setdefault(text, len(numbers)) for text in features.reports])
    ranks = retrieval_ranks(features.vectors[0], encoder.encode_reports(list(numbers)), text_of)
    recalls = measure_retrieval(ranks, features.patients, settings)
    content = {
        "benchmark": "retrieval",
        "settings": settings.model_dump(mode="json"),
        "model": encoder_record(settings.model, encoder),
        "data": {"source": cases.source, "hashes": dict(cases.hashes)},
        "images_left_out": features.unusable,
        "num_pairs": len(text_of),
        "num_patients": features.num_patients,
        "num_distinct_reports": len(numbers),
        "recall": {
            name: {
                "median_rank": recall.median_rank,
                **{f"at_{rank}": estimate.as_dict() for rank, estimate in recall.at.items()},
            }
            for name, recall in recalls.items()
        },
    }
    heading = (
        f"Retrieval among {len(text_of)} pairs of {features.num_patients} patients "
        f"({cases.source}), {len(numbers)} distinct reports"
    )
    table = f"{heading}\n\n{_format(recalls, len(text_of))}"
    return write_result(out, "retrieval", content, table)


def measure_retrieval(
    ranks: RetrievalRanks, patients: np.ndarray, settings: RetrievalSettings
) -> dict[str, Recall]:
    """Recall in both directions. Resampling selects queries; the candidates stay the same."""
    recalls = {}
    for name, side in _DIRECTIONS.items():
        own: np.ndarray = getattr(ranks, side)
        at = {
            rank: fraction(own <= rank, settings.seed, patients, settings.num_resamples)
            for rank in settings.ranks
        }
        recalls[name] = Recall(at, float(np.median(own)))
    return recalls


def _format(recalls: dict[str, Recall], num_pairs: int) -> str:
    first = next(iter(recalls.values()))
    header = ("", *(f"recall at {rank}" for rank in first.at), "median rank")
    rows: list[list[str]] = [
        [name, *map(str, recall.at.values()), f"{recall.median_rank:g}"]
        for name, recall in recalls.items()
    ]
    chance: list[Any] = [f"{min(1.0, rank / num_pairs):.3f}" for rank in first.at]
    rows.append(["chance", *chance, f"{(num_pairs + 1) / 2:g}"])
    return (
        f"{text_table(header, rows)}\n\n"
        "Brackets: 95% bootstrap intervals over patients. Reports of the same text are one answer."
    )
