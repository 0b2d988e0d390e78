"""The settings of the experiments, `pairaug experiment utility` and `pruning`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from pairaug.experiment.comparison import ComparisonSettings
from pairaug.readers import ReadSettings

Arm = Literal[
    "real",
    "real_matched_steps",
    "image_only",
    "text_only",
    "inter",
    "intra",
    "unpruned",
    "unpruned_matched_size",
    "inter_and_intra",
    "upper_bound",
    "upper_bound_reworded",
]

ARMS: tuple[Arm, ...] = get_args(Arm)
"""What is compared, in the order of the table."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

BASE: Arm = "real_matched_steps"
"""What every gain is measured from: the real pairs alone, for as many steps."""


class UtilitySettings(ComparisonSettings):
    """The paper's comparison, on any dataset that a run can be made of."""

    extra_real_data: ReadSettings | None = Field(
        default=None,
        description="Where the upper bound's real pairs come from: the real ones of the run and more "
        "of the same kind. Without it there is no upper bound and no fraction of a gap.",
    )
    arms: tuple[Arm, ...] = Field(default=ARMS, description="What is compared.")
    max_steps: int = Field(
        default=500,
        ge=1,
        description="Optimiser steps of every arm, except `real`, which makes as many passes over "
        "its pairs as `inter_and_intra` does.",
    )
    controls_per_report: int = Field(
        default=4, ge=1, description="Images, or wordings, for each report of the control arms."
    )

    @model_validator(mode="after")
    def _can_be_compared(self) -> UtilitySettings:
        if BASE not in self.arms:
            raise ValueError(f"arms must name {BASE!r}: every gain is measured from it")
        for arm in ("upper_bound", "upper_bound_reworded"):
            if arm in self.arms and self.extra_real_data is None:
                raise ValueError(f"the arm `{arm}` needs extra_real_data; or leave it out of arms")
        return self


class PruningSettings(ComparisonSettings):
    """What pruning is worth, by how often the generator fails."""

    noise_rates: tuple[Fraction, ...] = Field(
        default=(0.0, 0.1, 0.25, 0.5),
        min_length=1,
        description="Fractions of the generated images that change places with another patient's, as if "
        "the generator had not listened; 0 leaves them as they were made.",
    )

    @model_validator(mode="after")
    def _is_ascending(self) -> PruningSettings:
        if list(self.noise_rates) != sorted({round(fraction, 2) for fraction in self.noise_rates}):
            raise ValueError("noise_rates must be ascending fractions in whole per cent, each once")
        return self
