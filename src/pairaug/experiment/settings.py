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
"""The arms, in the order of the table."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

BASE: Arm = "real_matched_steps"
"""The base of every gain: the real pairs alone, for the same number of steps."""


class UtilitySettings(ComparisonSettings):
    """The paper's comparison, on any dataset that a run can read."""

    extra_real_data: ReadSettings | None = Field(
        default=None,
        description="Source of the upper bound's real pairs: those of the run and more of the same "
        "kind. Without it, `upper_bound` and the fraction of the gap are left out.",
    )
    arms: tuple[Arm, ...] = Field(default=ARMS, description="Arms to compare.")
    max_steps: int = Field(
        default=500,
        ge=1,
        description="Optimizer steps of every arm, except `real`, which makes as many passes over "
        "its pairs as `inter_and_intra` over its own.",
    )
    controls_per_report: int = Field(
        default=4, ge=1, description="Images, or rewordings, per report of the control arms."
    )

    @model_validator(mode="after")
    def _can_be_compared(self) -> UtilitySettings:
        if BASE not in self.arms:
            raise ValueError(f"arms must name {BASE!r}: every gain is measured from it")
        for arm in ("upper_bound", "upper_bound_reworded"):
            if arm in self.arms and self.extra_real_data is None:
                raise ValueError(
                    f"the arm `{arm}` needs extra_real_data; set it, or leave the arm out"
                )
        return self


class PruningSettings(ComparisonSettings):
    """The gain by pruning, by noise rate."""

    noise_rates: tuple[Fraction, ...] = Field(
        default=(0.0, 0.1, 0.25, 0.5),
        min_length=1,
        description="Fractions of the generated images that are exchanged for another patient's, "
        "as label noise; 0 exchanges none.",
    )

    @model_validator(mode="after")
    def _is_ascending(self) -> PruningSettings:
        if list(self.noise_rates) != sorted({round(fraction, 2) for fraction in self.noise_rates}):
            raise ValueError("noise_rates must be ascending fractions in whole per cent, each once")
        return self
