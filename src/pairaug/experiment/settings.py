"""The settings of the experiments, `pairaug experiment utility` and `pruning`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from pairaug.experiment.comparison import ComparisonSettings
from pairaug.readers import ReadSettings

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
    "ceiling, reworded",
]

ROWS: tuple[Row, ...] = get_args(Row)
"""What is compared, in the order of the table."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]

BASE: Row = "real, equal compute"
"""What every gain is measured from: the real pairs alone, for as many steps."""


class UtilitySettings(ComparisonSettings):
    """The paper's comparison, on any dataset that a run can be made of."""

    more_real: ReadSettings | None = Field(
        default=None,
        description="Where the ceiling's real pairs come from: the real ones of the run and more "
        "of the same kind. Without it there is no ceiling and no share of a gap.",
    )
    rows: tuple[Row, ...] = Field(default=ROWS, description="What is compared.")
    num_steps: int = Field(
        default=500,
        ge=1,
        description="Optimiser steps of every row, except `real`, which makes as many passes over "
        "its pairs as `+both` does.",
    )
    controls_per_report: int = Field(
        default=4, ge=1, description="Images, or wordings, for each report of the control rows."
    )

    @model_validator(mode="after")
    def _can_be_compared(self) -> UtilitySettings:
        if BASE not in self.rows:
            raise ValueError(f"rows must name {BASE!r}: every gain is measured from it")
        for row in ("ceiling", "ceiling, reworded"):
            if row in self.rows and self.more_real is None:
                raise ValueError(f"the row `{row}` needs more_real; or leave it out of rows")
        return self


class PruningSettings(ComparisonSettings):
    """What pruning is worth, by how often the generator fails."""

    failing: tuple[Share, ...] = Field(
        default=(0.0, 0.1, 0.25, 0.5),
        min_length=1,
        description="Shares of the generated images that change places with another patient's, as if "
        "the generator had not listened; 0 leaves them as they were made.",
    )

    @model_validator(mode="after")
    def _is_ascending(self) -> PruningSettings:
        if list(self.failing) != sorted({round(share, 2) for share in self.failing}):
            raise ValueError("failing must be ascending shares in whole per cent, each once")
        return self
