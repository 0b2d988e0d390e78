"""The page about a run: `summary.html`, self-contained, made from the parts that pruning wrote.

This module holds the settings and the one entry point; nothing heavy is loaded until it is called.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pairaug.settings import StageSettings


class SummarySettings(StageSettings):
    """What the page shows."""

    max_examples: int = Field(
        default=8, ge=0, le=500, description="Examples in each gallery, chosen by the run's seed."
    )
    dropped_fraction: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Fraction of the examples that are dropped pairs, if there are.",
    )
    max_points: int = Field(
        default=600,
        ge=0,
        description="Pairs in the t-SNE maps, chosen by the run's seed; 0 leaves it out.",
    )
    image_pixels: int = Field(
        default=256,
        ge=32,
        le=2048,
        description="Longer side of the images inside the page, in pixels.",
    )


def write_summary(run_folder: Path, settings: SummarySettings | None = None) -> Path:
    """The path of `summary.html`, written into `run_folder` from its prune parts and `run.json`.

    Raises `RunError` where the run has no prune parts yet.
    """
    from pairaug.summary.page import write_page

    return write_page(run_folder, settings or SummarySettings())


__all__ = ["SummarySettings", "write_summary"]
