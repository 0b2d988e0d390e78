"""Sampling of candidate images for new patients, each from its own noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from pairaug.candidates.ids import candidate_id
from pairaug.diffusion.prompts import Prompt
from pairaug.pair import Pair
from pairaug.stage import batched

if TYPE_CHECKING:
    from torch import Tensor

    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.diffusion.sampling import SamplingOptions


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One image to generate: its pair, and its prompt."""

    pair: Pair
    prompt: Prompt

    @property
    def source(self) -> None:
        """None: a new patient has no source."""
        return None


@dataclass(frozen=True)
class Batch:
    """Images generated together, kept as latents until first used."""

    pipeline: Pipeline = field(repr=False)
    latents: Float[Tensor, "image channel height width"]

    @cached_property
    def images(self) -> Float[np.ndarray, "image row column"]:
        """Images in [0, 1], decoded once; NaN where the model failed."""
        return self.pipeline.decode_latents(self.latents)


@dataclass(frozen=True, slots=True)
class GeneratedCandidate:
    """One image generated for a request: a row of a batch, decoded on first use."""

    request: GenerationRequest
    number: int
    seed: int
    batch: Batch
    row: int

    @property
    def image(self) -> Float[np.ndarray, "row column"]:
        return self.batch.images[self.row]


@dataclass(frozen=True, slots=True)
class ReportSampler:
    """Generates images from reports, each candidate from noise with its own seed."""

    pipeline: Pipeline
    options: SamplingOptions
    batch_size: int
    seed_of: Callable[[str], int]
    """Seed of a candidate, by its id."""

    def generate(
        self, wanted: Sequence[tuple[GenerationRequest, int]]
    ) -> Iterator[GeneratedCandidate]:
        """One candidate for each request and number, in order."""
        from pairaug.diffusion.sampling import sample_latents

        for group in batched(wanted, self.batch_size):
            seeds = [
                self.seed_of(candidate_id(request.pair.id, number)) for request, number in group
            ]
            prompts = [request.prompt.text for request, _ in group]
            batch = Batch(
                self.pipeline,
                sample_latents(self.pipeline, prompts, seeds, self.options, self.batch_size),
            )
            for row, (request, number) in enumerate(group):
                yield GeneratedCandidate(request, number, seeds[row], batch, row)
