"""Settings of several candidates per report and of their acceptance."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pairaug.pair import SCORES
from pairaug.settings import GeneratorModel, PretrainedModel

Keep = Literal["all", "first-accepted", "best"]


class AcceptSettings(PretrainedModel):
    """Bounds that a candidate must exceed. Its scores are those of the stage `score`."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="Scorer of the candidates: `bundled`, or as in `score.model`. Use another one "
        "than `score.model`: a scorer overrates the candidates that it chose.",
    )
    image_report: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Bound on `image_report` (S1) that an accepted candidate exceeds.",
    )
    bounds_from: Path | None = Field(
        default=None,
        description="Folder of a finished run. Bounds not set here are those that its pruning "
        "fitted for this branch. A small run with `--limit` is enough.",
    )

    @property
    def is_bounded(self) -> bool:
        """True if there is a bound."""
        return self.bounds_from is not None or bool(self.own_bounds())

    def own_bounds(self) -> dict[str, float]:
        """Score → bound, of the bounds set here."""
        values = {name: getattr(self, name, None) for name in SCORES}
        return {name: value for name, value in values.items() if value is not None}


class CandidateSettings(GeneratorModel):
    """A generator with one or several candidates per report."""

    num_images: int = Field(
        default=1,
        ge=1,
        description="Candidates per report; the maximum with `keep: first-accepted`. The authors "
        "generate 10 of each edit and one of each new patient.",
    )
    keep: Keep = Field(
        default="all",
        description="Candidates to keep. `all`: each becomes a pair. `first-accepted`: generates "
        "until one exceeds the bounds of `accept`, and keeps the best if none does. `best`: the "
        "best of all, accepted ones first.",
    )
    accept: AcceptSettings = Field(
        default_factory=AcceptSettings,
        description="Scorer and bounds of candidates; not used with `keep: all`.",
    )

    @model_validator(mode="after")
    def _has_a_bound(self) -> CandidateSettings:
        if self.keep == "first-accepted" and self.num_images > 1 and not self.accept.is_bounded:
            raise ValueError(
                "keep: first-accepted needs a bound; set one in accept, or set "
                "accept.bounds_from to a finished run"
            )
        return self

    @property
    def chooses(self) -> bool:
        """True if candidates are compared and only one is kept."""
        return self.keep != "all" and self.num_images > 1

    @property
    def max_kept(self) -> int:
        """The largest number of images kept per report."""
        return self.num_images if self.keep == "all" else 1
