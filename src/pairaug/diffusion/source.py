"""The source's side of an edit: a recorded trajectory, or an image that is generated along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from pairaug.diffusion.schedule import DdimSolver, Solver

Latents = Float[Tensor, "batch channel height width"]


@runtime_checkable
class Source(Protocol):
    """The source's side of an edit, one row per source."""

    @property
    def is_guided(self) -> bool:
        """True if its prediction is guided from the empty text."""
        ...

    @property
    def runs_to_end(self) -> bool:
        """True if its rows stay in the batch once nothing is swapped any more."""
        ...

    def model_input(self, step_index: int) -> Latents:
        """What the denoiser sees of the source at this step."""
        ...

    def advance(self, prediction: Latents, step_index: int) -> Latents | None:
        """Takes the source to the next level; returns what each source's edits are moved by."""
        ...

    def latents_at(self, level: int) -> Latents:
        """The source's latents at a level that it has reached."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """An inverted image, held on its recorded trajectory.

    With drift, each step of the edit is corrected by what the same step misses on the source:

        z_edit' = step(z_edit) + (recorded z_src' - step(recorded z_src))

    so that an edit that says what the source says follows the recording at any guidance.
    """

    trajectory: Float[Tensor, "level image channel height width"]
    solver: DdimSolver
    drift: bool
    is_guided: bool

    @property
    def runs_to_end(self) -> bool:
        return self.drift

    def model_input(self, step_index: int) -> Latents:
        return self.solver.scaled(self.trajectory[step_index], step_index)

    def advance(self, prediction: Latents, step_index: int) -> Latents | None:
        if not self.drift:
            return None
        stepped = self.solver.step(prediction, step_index, self.trajectory[step_index])
        return self.trajectory[step_index + 1] - stepped

    def latents_at(self, level: int) -> Latents:
        return self.trajectory[level]


@dataclass(slots=True)
class RegeneratedSource:
    """A source generated along with its edit, from the same noise, by a solver of its own."""

    latents: Latents
    solver: Solver
    is_guided: bool = True
    runs_to_end: bool = False

    def model_input(self, step_index: int) -> Latents:
        return self.solver.scaled(self.latents, step_index)

    def advance(self, prediction: Latents, step_index: int) -> None:
        self.latents = self.solver.step(prediction, step_index, self.latents)

    def latents_at(self, level: int) -> Latents:
        # It is never asked for another level than the one that it was last taken to.
        return self.latents
