"""Edits to be made, and the images that are generated for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pairaug.diffusion.prompts import Prompt
from pairaug.pair import Pair

if TYPE_CHECKING:
    from pairaug.diffusion.edited import EditedImages


class SourceKey(NamedTuple):
    """The key of an inversion: an image, and the prompt that it is inverted under."""

    source_id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Job:
    """One edit to be made: the pair that wants an image, its source, and both prompts.

    `source_prompt` is the text that was rewritten, never all of the source's report.
    """

    pair: Pair
    source: Pair
    source_prompt: Prompt
    prompt: Prompt

    @property
    def source_key(self) -> SourceKey:
        return SourceKey(self.source.id, self.source_prompt.text)


@dataclass(frozen=True, slots=True)
class Try:
    """One image generated for a job: a row of a batch, which is decoded when the first is looked at."""

    job: Job
    number: int
    edited: EditedImages
    row: int
    measured: Mapping[str, Any]
    """What drawing found out, for the trace."""

    @property
    def image(self) -> Float[np.ndarray, "row column"]:
        return self.edited.images[self.row]
