"""A request for an image, a candidate for it, and the decision on a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from pairaug.pair import Pair


class ImageRequest(Protocol):
    """One image to be generated."""

    @property
    def pair(self) -> Pair:
        """The pair that needs an image."""
        ...

    @property
    def source(self) -> Pair | None:
        """The real pair of an edit; None for a new patient."""
        ...


class Candidate(Protocol):
    """One image generated for a request."""

    @property
    def request(self) -> ImageRequest: ...

    @property
    def number(self) -> int: ...

    @property
    def image(self) -> Float[np.ndarray, "row column"]: ...


@dataclass(frozen=True, slots=True)
class CandidateDecision:
    """A candidate's scores, null where undefined, and whether all exceed their bounds."""

    scores: Mapping[str, float | None]
    accepted: bool

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key of the best candidate: accepted first, then the highest mean of its scores.

        A null counts as -1, the lowest cosine.
        """
        values = [-1.0 if value is None else value for value in self.scores.values()]
        return self.accepted, sum(values) / len(values)
