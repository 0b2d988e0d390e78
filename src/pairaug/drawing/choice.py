"""Tries as they are generated, one or several for each report, and which of them go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pairaug.drawing.records import Job, Try, Verdict
from pairaug.images import fault, png_ref
from pairaug.pair import Pair

if TYPE_CHECKING:
    from pairaug.drawing.judge import Judge
    from pairaug.drawing.settings import Keep


JobT = TypeVar("JobT", bound=Job)
TryT = TypeVar("TryT", bound=Try)
TryT_co = TypeVar("TryT_co", bound=Try, covariant=True)
JobT_contra = TypeVar("JobT_contra", bound=Job, contravariant=True)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[TryT]):
    """A try that goes on, with the verdict and the number of tries generated where it was judged."""

    generated: TryT
    verdict: Verdict | None = None
    num_generated: int = 1


class Artist(Protocol[JobT_contra, TryT_co]):
    """Generates tries; the same job and number give the same image, whatever else is wanted."""

    def generate(self, wanted: Sequence[tuple[JobT_contra, int]]) -> Iterator[TryT_co]: ...


def generate_and_choose(
    artist: Artist[JobT, TryT],
    jobs: Sequence[JobT],
    keep: Keep,
    num_tries: int,
    judge: Judge | None,
) -> list[Chosen[TryT]]:
    """The tries that go on, in the order of `jobs`, each job's in the order of their numbers.

    With `all` every try does; else one of each job does, and no more are generated than it takes.
    """
    if judge is None:
        wanted = [(job, number) for job in jobs for number in range(num_tries)]
        return [Chosen(generated) for generated in artist.generate(wanted)]
    references = judge.references(jobs)
    judged: list[list[tuple[Verdict, TryT]]] = [[] for _ in jobs]
    place_of = {job.pair.id: place for place, job in enumerate(jobs)}
    open_places = list(range(len(jobs)))
    for number in range(num_tries):
        tries = list(artist.generate([(jobs[place], number) for place in open_places]))
        for verdict, generated in zip(judge.verdicts(tries, references), tries, strict=True):
            judged[place_of[generated.job.pair.id]].append((verdict, generated))
        if keep == "first-passing":
            open_places = [place for place in open_places if not judged[place][-1][0].passed]
        if not open_places:
            break
    return [_best(of_job) for of_job in judged]


def in_place(
    waiting: Iterable[Pair],
    chosen: Iterable[Chosen[TryT]],
    dropped: Mapping[str, Pair],
    outcome: Callable[[Chosen[TryT]], Pair],
) -> list[Pair]:
    """The pairs that have been waiting, each with what came of it in its place.

    `outcome` gives the pair of a try that goes on; `dropped` has those that were never generated, by
    id. A pair that is in neither stays as it was.
    """
    outcomes = {pair_id: [pair] for pair_id, pair in dropped.items()}
    for each in chosen:
        outcomes.setdefault(each.generated.job.pair.id, []).append(outcome(each))
    return [done for pair in waiting for done in outcomes.get(pair.id, [pair])]


def with_image(pair: Pair, generated: Try, stage: str) -> Pair:
    """The pair with the image of a try, or dropped for what the image is."""
    reason = fault(generated.image)
    return (
        pair.with_image(png_ref(generated.image)) if reason is None else pair.dropped(stage, reason)
    )


def choice_trace(chosen: Chosen[Any], judge: Judge) -> dict[str, Any]:
    """What a pair's trace says of how its image was chosen, as plain JSON values."""
    trace: dict[str, Any] = {"try_number": chosen.generated.number}
    if chosen.verdict is None:
        return trace
    scores = {
        name: None if value is None else round(value, 6)
        for name, value in chosen.verdict.scores.items()
    }
    return {
        **trace,
        "num_tries": chosen.num_generated,
        "passed": chosen.verdict.passed,
        "try_scores": scores,
        "bounds": judge.bounds,
    }


def _best(judged: Iterable[tuple[Verdict, TryT]]) -> Chosen[TryT]:
    """The try that ranks highest; of equals the one generated first."""
    tries = list(judged)
    verdict, generated = max(tries, key=lambda each: each[0].rank)
    return Chosen(generated, verdict, len(tries))
