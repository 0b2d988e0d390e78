"""Tries as they are drawn, one or several for each report, and which of them go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from jaxtyping import Float

from pairaug.pair import Pair

if TYPE_CHECKING:
    from pairaug.tries.judge import Judge
    from pairaug.tries.settings import Keep


class Job(Protocol):
    """One film to be drawn."""

    @property
    def pair(self) -> Pair:
        """The pair that wants a film."""
        ...

    @property
    def source(self) -> Pair | None:
        """The pair that the film is compared with as well as with its report, if there is one."""
        ...


class Try(Protocol):
    """One film drawn for a job."""

    @property
    def job(self) -> Job: ...

    @property
    def number(self) -> int: ...

    @property
    def film(self) -> Float[np.ndarray, "row column"]: ...


JobT = TypeVar("JobT", bound=Job)
TryT = TypeVar("TryT", bound=Try)
TryT_co = TypeVar("TryT_co", bound=Try, covariant=True)
JobT_contra = TypeVar("JobT_contra", bound=Job, contravariant=True)


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
class Chosen(Generic[TryT]):
    """A try that goes on, with the verdict and the number of tries drawn where it was judged."""

    drawn: TryT
    verdict: Verdict | None = None
    num_drawn: int = 1


class Artist(Protocol[JobT_contra, TryT_co]):
    """Draws tries; the same job and number give the same film, whatever else is wanted."""

    def draw(self, wanted: Sequence[tuple[JobT_contra, int]]) -> Iterator[TryT_co]: ...


def drawn_and_chosen(
    artist: Artist[JobT, TryT],
    jobs: Sequence[JobT],
    keep: Keep,
    num_tries: int,
    judge: Judge | None,
) -> list[Chosen[TryT]]:
    """The tries that go on, in the order of `jobs`, each job's in the order of their numbers.

    With `all` every try does; else one of each job does, and no more are drawn than it takes.
    """
    if judge is None:
        wanted = [(job, number) for job in jobs for number in range(num_tries)]
        return [Chosen(drawn) for drawn in artist.draw(wanted)]
    references = judge.references(jobs)
    judged: list[list[tuple[Verdict, TryT]]] = [[] for _ in jobs]
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


def choice_trace(chosen: Chosen[Any], judge: Judge) -> dict[str, Any]:
    """What a pair's trace says of how its film was chosen, as plain JSON values."""
    trace: dict[str, Any] = {"try_number": chosen.drawn.number}
    if chosen.verdict is None:
        return trace
    scores = {
        name: None if value is None else round(value, 6)
        for name, value in chosen.verdict.scores.items()
    }
    return {
        **trace,
        "num_tries": chosen.num_drawn,
        "passed": chosen.verdict.passed,
        "try_scores": scores,
        "bounds": judge.bounds,
    }


def _best(judged: Iterable[tuple[Verdict, TryT]]) -> Chosen[TryT]:
    """The try that ranks highest; of equals the one drawn first."""
    tries = list(judged)
    verdict, drawn = max(tries, key=lambda each: each[0].rank)
    return Chosen(drawn, verdict, len(tries))
