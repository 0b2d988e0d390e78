"""Edits as they are drawn, one or several for each changed report, and which of them go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from jaxtyping import Float

from pairaug.diffusion.prompts import Prompt
from pairaug.pair import Pair

if TYPE_CHECKING:
    from pairaug.diffusion.edited import EditedFilms
    from pairaug.edit.judge import Judge

Keep = Literal["all", "first-passing", "best"]


@dataclass(frozen=True, slots=True)
class Job:
    """One edit to be made: the pair that wants a film, its source, and both prompts."""

    pair: Pair
    source: Pair
    source_prompt: Prompt
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Try:
    """One film drawn for a job: a row of a batch, which is decoded when the first is looked at."""

    job: Job
    number: int
    edited: EditedFilms
    row: int
    measured: Mapping[str, Any]
    """What drawing found out, for the trace."""

    @property
    def film(self) -> Float[np.ndarray, "row column"]:
        return self.edited.films[self.row]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A try's scores, null where they cannot be had, and whether all are above their bounds."""

    scores: Mapping[str, float | None]
    passed: bool

    @property
    def rank(self) -> tuple[bool, float]:
        """What the best try has most of: passing first, then the mean of its scores.

        A null counts as the worst that a cosine can be.
        """
        values = [-1.0 if value is None else value for value in self.scores.values()]
        return self.passed, sum(values) / len(values)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A try that goes on, with the verdict and the number of tries drawn where it was judged."""

    drawn: Try
    verdict: Verdict | None = None
    num_drawn: int = field(default=1)


class Artist(Protocol):
    """Draws tries; the same job and number give the same film, whatever else is wanted."""

    def draw(self, wanted: Sequence[tuple[Job, int]]) -> Iterator[Try]: ...


def drawn_and_chosen(
    artist: Artist, jobs: Sequence[Job], keep: Keep, num_tries: int, judge: Judge | None
) -> list[Chosen]:
    """The tries that go on, in the order of `jobs`, each job's in the order of their numbers.

    With `all` every try does; else one of each job does, and no more are drawn than it takes.
    """
    if judge is None:
        wanted = [(job, number) for job in jobs for number in range(num_tries)]
        return [Chosen(drawn) for drawn in artist.draw(wanted)]
    references = judge.references(jobs)
    judged: list[list[tuple[Verdict, Try]]] = [[] for _ in jobs]
    place_of = {job.pair.id: place for place, job in enumerate(jobs)}
    open_places = list(range(len(jobs)))
    for number in range(num_tries):
        tries = list(artist.draw([(jobs[place], number) for place in open_places]))
        for verdict, drawn in zip(judge.verdicts(tries, references), tries, strict=True):
            judged[place_of[drawn.job.pair.id]].append((verdict, drawn))
        if keep == "first-passing":
            open_places = [place for place in open_places if not judged[place][-1][0].passed]
        if not open_places:
            break
    return [_best(of_job) for of_job in judged]


def _best(judged: Iterable[tuple[Verdict, Try]]) -> Chosen:
    """The try that ranks highest; of equals the one drawn first."""
    tries = list(judged)
    verdict, drawn = max(tries, key=lambda each: each[0].rank)
    return Chosen(drawn, verdict, len(tries))
