"""The page about a run: `summary.html`, self-contained, built from the parts written by pruning.

This module holds the settings and the one entry point; nothing heavy is loaded until it is called.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pairaug.settings import StageSettings


class SummarySettings(StageSettings):
    """Contents of the summary page."""

    max_examples: int = Field(
        default=8,
        ge=0,
        le=500,
        description="Examples in each gallery, sampled with the run's seed.",
    )
    dropped_fraction: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Fraction of dropped pairs among the examples.",
    )
    max_points: int = Field(
        default=600,
        ge=0,
        description="Pairs in the t-SNE maps, sampled with the run's seed; 0 leaves the maps out.",
    )
    image_pixels: int = Field(
        default=256,
        ge=32,
        le=2048,
        description="Longer side of the page's images, in pixels.",
    )


def write_summary(run_folder: Path, settings: SummarySettings | None = None) -> Path:
    """The path of `summary.html`, written into `run_folder` from its prune parts and `run.json`.

    Raises `RunError` where the run has no prune parts yet.
    """
    from pairaug.summary.page import write_page

    return write_page(run_folder, settings or SummarySettings())


__all__ = ["SummarySettings", "write_summary"]
