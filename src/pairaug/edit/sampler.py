"""Requests for edits, and samplers that make them from inverted images or from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pairaug.candidates.ids import candidate_id
from pairaug.diffusion.prompts import Prompt
from pairaug.pair import Pair
from pairaug.stage import batched

if TYPE_CHECKING:
    from pairaug.diffusion.edit_plan import EditOptions
    from pairaug.diffusion.inversion import Inversion
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.diffusion.result import EditedImages

SeedOf = Callable[[str], int]
"""The seed for a pair's id."""


class SourceKey(NamedTuple):
    """The key of an inversion: an image, and the prompt that it is inverted under."""

    source_id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class EditRequest:
    """One edit to make: the pair without an image, its source, and both prompts.

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
class EditCandidate:
    """One image generated for a request: a row of a batch, decoded at the first use of any row."""

    request: EditRequest
    number: int
    edited: EditedImages
    row: int
    measured: Mapping[str, Any]
    """Values for the trace."""

    @property
    def image(self) -> Float[np.ndarray, "row column"]:
        return self.edited.images[self.row]


@dataclass(frozen=True, slots=True)
class InversionSampler:
    """Makes edits of inverted images. The first candidate of a request is deterministic."""

    pipeline: Pipeline
    inversion: Inversion
    place_of: Mapping[SourceKey, int]
    """The index of a request's source among the inverted images."""
    options: EditOptions
    batch_size: int
    seed_of: SeedOf

    def generate(self, wanted: Sequence[tuple[EditRequest, int]]) -> Iterator[EditCandidate]:
        from pairaug.diffusion.editing import edit_inverted

        for batch in batched(wanted, self.batch_size):
            seeds = [
                self.seed_of(candidate_id(request.pair.id, number)) if number else None
                for request, number in batch
            ]
            edited = edit_inverted(
                self.pipeline,
                self.inversion,
                [request.prompt.text for request, _ in batch],
                self.options,
                [self.place_of[request.source_key] for request, _ in batch],
                seeds,
            )
            for row, (request, number) in enumerate(batch):
                error = float(self.inversion.errors[self.place_of[request.source_key]])
                measured = {"inversion_error": round(error, 6), "seed": seeds[row]}
                yield EditCandidate(request, number, edited, row, measured)


@dataclass(frozen=True, slots=True)
class RegenerationSampler:
    """Makes edits of sources generated from their reports, each candidate from its own noise."""

    pipeline: Pipeline
    options: EditOptions
    batch_size: int
    seed_of: SeedOf

    def generate(self, wanted: Sequence[tuple[EditRequest, int]]) -> Iterator[EditCandidate]:
        from pairaug.diffusion.editing import edit_regenerated

        for batch in batched(wanted, self.batch_size):
            seeds = [
                self.seed_of(candidate_id(request.pair.id, number)) for request, number in batch
            ]
            edited = edit_regenerated(
                self.pipeline,
                [request.source_prompt.text for request, _ in batch],
                [request.prompt.text for request, _ in batch],
                seeds,
                self.options,
                self.batch_size,
            )
            for row, (request, number) in enumerate(batch):
                yield EditCandidate(request, number, edited, row, {"seed": seeds[row]})
