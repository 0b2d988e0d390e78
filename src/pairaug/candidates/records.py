"""An image to be generated, a candidate of it, and what is thought of it."""

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
        """The pair that wants an image."""
        ...

    @property
    def source(self) -> Pair | None:
        """The pair that the image is compared with as well as with its report, if there is one."""
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
    """A candidate's scores, null where they cannot be had, and whether all are above their bounds."""

    scores: Mapping[str, float | None]
    accepted: bool

    @property
    def rank(self) -> tuple[bool, float]:
        """What the best candidate has most of: passing first, then the mean of its scores.

        A null counts as the worst that a cosine can be.
        """
        values = [-1.0 if value is None else value for value in self.scores.values()]
        return self.accepted, sum(values) / len(values)
