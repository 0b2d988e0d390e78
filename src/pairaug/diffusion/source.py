"""The source's side of an edit: a recorded trajectory, or an image generated with the edit."""

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
        """True if classifier-free guidance applies to its prediction too."""
        ...

    @property
    def runs_to_end(self) -> bool:
        """True if its rows stay in the batch after the last swap."""
        ...

    def model_input(self, step_index: int) -> Latents:
        """The denoiser's input for the source at this step."""
        ...

    def advance(self, prediction: Latents, step_index: int) -> Latents | None:
        """Takes the source to the next level; returns the drift correction of its edits, if any."""
        ...

    def latents_at(self, level: int) -> Latents:
        """The source's latents at a level that it has reached."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """An inverted image, kept on its recorded trajectory.

    `correct_drift` adds the source's reconstruction error of each step to the edit:

        z_edit' = step(z_edit) + (recorded z_src' - step(recorded z_src))

    so that an edit to an unchanged report follows the recording at any guidance scale.
    """

    trajectory: Float[Tensor, "level image channel height width"]
    solver: DdimSolver
    correct_drift: bool
    is_guided: bool

    @property
    def runs_to_end(self) -> bool:
        return self.correct_drift

    def model_input(self, step_index: int) -> Latents:
        return self.solver.scaled(self.trajectory[step_index], step_index)

    def advance(self, prediction: Latents, step_index: int) -> Latents | None:
        if not self.correct_drift:
            return None
        stepped = self.solver.step(prediction, step_index, self.trajectory[step_index])
        return self.trajectory[step_index + 1] - stepped

    def latents_at(self, level: int) -> Latents:
        return self.trajectory[level]


@dataclass(slots=True)
class RegeneratedSource:
    """A source generated together with its edit, from the same noise, with its own solver."""

    latents: Latents
    solver: Solver
    is_guided: bool = True
    runs_to_end: bool = False

    def model_input(self, step_index: int) -> Latents:
        return self.solver.scaled(self.latents, step_index)

    def advance(self, prediction: Latents, step_index: int) -> None:
        self.latents = self.solver.step(prediction, step_index, self.latents)

    def latents_at(self, level: int) -> Latents:
        # Callers only ask for the level that `advance` last reached.
        return self.latents
