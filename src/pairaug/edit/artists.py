"""Generating tries of edits: from real images by way of their inversions, or from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairaug.drawing.ids import try_id
from pairaug.edit.jobs import Job, SourceKey, Try
from pairaug.stage import batched

if TYPE_CHECKING:
    from pairaug.diffusion.bundle import Bundle
    from pairaug.diffusion.control import EditOptions
    from pairaug.diffusion.inversion import Inversion

SeedOf = Callable[[str], int]
"""The seed of a pair's generates, by its id."""


@dataclass(frozen=True, slots=True)
class FromImages:
    """Edits of inverted images. The first try of a job has nothing random in it."""

    bundle: Bundle
    inversion: Inversion
    place_of: Mapping[SourceKey, int]
    """The index of a job's source among the inverted images."""
    options: EditOptions
    batch_size: int
    seed_of: SeedOf

    def generate(self, wanted: Sequence[tuple[Job, int]]) -> Iterator[Try]:
        from pairaug.diffusion.editing import edit_inverted

        for batch in batched(wanted, self.batch_size):
            seeds = [
                self.seed_of(try_id(job.pair.id, number)) if number else None
                for job, number in batch
            ]
            edited = edit_inverted(
                self.bundle,
                self.inversion,
                [job.prompt.text for job, _ in batch],
                self.options,
                [self.place_of[job.source_key] for job, _ in batch],
                seeds,
            )
            for row, (job, number) in enumerate(batch):
                error = float(self.inversion.errors[self.place_of[job.source_key]])
                measured = {"inversion_error": round(error, 6), "seed": seeds[row]}
                yield Try(job, number, edited, row, measured)


@dataclass(frozen=True, slots=True)
class FromNoise:
    """Edits of sources that are generated along from their reports, each try from its own noise."""

    bundle: Bundle
    options: EditOptions
    batch_size: int
    seed_of: SeedOf

    def generate(self, wanted: Sequence[tuple[Job, int]]) -> Iterator[Try]:
        from pairaug.diffusion.editing import edit_regenerated

        for batch in batched(wanted, self.batch_size):
            seeds = [self.seed_of(try_id(job.pair.id, number)) for job, number in batch]
            edited = edit_regenerated(
                self.bundle,
                [job.source_prompt.text for job, _ in batch],
                [job.prompt.text for job, _ in batch],
                seeds,
                self.options,
                self.batch_size,
            )
            for row, (job, number) in enumerate(batch):
                yield Try(job, number, edited, row, {"seed": seeds[row]})
