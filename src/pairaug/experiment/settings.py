"""The settings of `pairaug experiment utility`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from pairaug.evaluate.data.settings import LabelledData
from pairaug.evaluate.prompts import TEMPLATES, TemplatePair
from pairaug.readers import ReadSettings
from pairaug.settings import StageSettings
from pairaug.train.clip import ClipSettings

Row = Literal[
    "real",
    "real, equal compute",
    "image-only",
    "text-only",
    "+inter",
    "+intra",
    "no pruning",
    "no pruning, as many",
    "+both",
    "ceiling",
]

ROWS: tuple[Row, ...] = get_args(Row)
"""What is compared, in the order of the table."""

BASE: Row = "real, equal compute"
"""What every gain is measured from: the real pairs alone, for as many steps."""


class UtilitySettings(StageSettings):
    """The paper's comparison, on any dataset that a run can be made of."""

    run: Path | dict[str, Any] = Field(
        description="The run whose pairs are trained on: its settings, or a YAML file of them. It "
        "is made first, in the output folder, and resumed like any run. `limit` says how many of "
        "the dataset's pairs are the real ones."
    )
    more_real: ReadSettings | None = Field(
        default=None,
        description="Where the ceiling's real pairs come from: the real ones of the run and more "
        "of the same kind. Without it there is no ceiling and no share of a gap.",
    )
    rows: tuple[Row, ...] = Field(default=ROWS, description="What is compared.")
    num_seeds: int = Field(default=5, ge=1, description="Models trained for each row.")
    num_steps: int = Field(
        default=500,
        ge=1,
        description="Optimiser steps of every row, except `real`, which makes as many passes over "
        "its pairs as `+both` does.",
    )
    controls_per_report: int = Field(
        default=4, ge=1, description="Films, or wordings, for each report of the control rows."
    )
    train: ClipSettings = Field(
        description="How each model is trained; sources, seed and steps are the experiment's."
    )
    data: LabelledData = Field(
        description="What the models are judged on: labelled films of other patients."
    )
    findings: tuple[str, ...] = Field(
        default=(), description="Which of its findings count; all that it labels if none is named."
    )
    templates: tuple[TemplatePair, ...] = Field(
        default=TEMPLATES, min_length=1, description="Captions for a finding, and for its absence."
    )
    num_draws: int = Field(default=1000, ge=1, description="Bootstrap draws behind each interval.")
    cells_at_once: int = Field(
        default=1,
        ge=1,
        description="Models trained side by side, each in a process of its own, with "
        "`train.num_threads` threads.",
    )
    keep_models: bool = Field(
        default=False, description="Keep every trained model, not only what it said."
    )

    @model_validator(mode="after")
    def _can_be_compared(self) -> UtilitySettings:
        if BASE not in self.rows:
            raise ValueError(f"rows must name {BASE!r}: every gain is measured from it")
        if "ceiling" in self.rows and self.more_real is None:
            raise ValueError("the row `ceiling` needs more_real; or leave it out of rows")
        return self
