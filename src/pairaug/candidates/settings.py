"""How often an image is generated again, and what it has to pass."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pairaug.pair import SCORES
from pairaug.settings import GeneratorModel, PretrainedModel

Keep = Literal["all", "first-accepted", "best"]


class AcceptSettings(PretrainedModel):
    """What a candidate is judged by. Its scores are those of the stage `score`."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a scorer as in `score.model`. Better not the same one: what is "
        "chosen by a scorer looks better to that scorer than it is.",
    )
    image_report: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="A candidate passes above it: image against report, S1.",
    )
    bounds_from: Path | None = Field(
        default=None,
        description="A finished run, whose fitted rule for this branch gives the bounds that are "
        "not set here. A pilot with `--limit` is enough.",
    )

    @property
    def is_bounded(self) -> bool:
        """True if there is something to pass."""
        return self.bounds_from is not None or bool(self.own_bounds())

    def own_bounds(self) -> dict[str, float]:
        """Score → the bound that is set here."""
        values = {name: getattr(self, name, None) for name in SCORES}
        return {name: value for name, value in values.items() if value is not None}


class CandidateSettings(GeneratorModel):
    """A generator that may generate the image of a report more than once."""

    num_images: int = Field(
        default=1,
        ge=1,
        description="Images generated for each report, or the most that are. The authors generate 10 of "
        "each edit, and one of each new patient.",
    )
    keep: Keep = Field(
        default="all",
        description="Which candidates go on: `all`, each as a pair of its own; `first-accepted`, candidates "
        "being generated until one is above the bounds of `accept`, and the best if none is; `best`, "
        "the best of all, those that pass first.",
    )
    accept: AcceptSettings = Field(
        default_factory=AcceptSettings,
        description="What candidates are judged by, unless all are kept.",
    )

    @model_validator(mode="after")
    def _has_something_to_pass(self) -> CandidateSettings:
        if self.keep == "first-accepted" and self.num_images > 1 and not self.accept.is_bounded:
            raise ValueError(
                "keep: first-accepted needs something to pass; set a bound in accept, or "
                "accept.bounds_from to a finished run"
            )
        return self

    @property
    def chooses(self) -> bool:
        """True if candidates are compared, and only one goes on."""
        return self.keep != "all" and self.num_images > 1

    @property
    def max_kept(self) -> int:
        """The most images that one report can come to."""
        return self.num_images if self.keep == "all" else 1
