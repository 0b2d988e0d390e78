"""Candidates as they are generated, one or several for each report, and which of them go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pairaug.candidates.records import Candidate, CandidateDecision, ImageRequest
from pairaug.imaging.io import image_defect, png_ref
from pairaug.pair import Pair

if TYPE_CHECKING:
    from pairaug.candidates.accept import CandidateScorer
    from pairaug.candidates.settings import Keep


RequestT = TypeVar("RequestT", bound=ImageRequest)
CandidateT = TypeVar("CandidateT", bound=Candidate)
CandidateT_co = TypeVar("CandidateT_co", bound=Candidate, covariant=True)
RequestT_contra = TypeVar("RequestT_contra", bound=ImageRequest, contravariant=True)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[CandidateT]):
    """A candidate that goes on, with the decision and the number of candidates generated where it was judged."""

    generated: CandidateT
    decision: CandidateDecision | None = None
    num_generated: int = 1


class Sampler(Protocol[RequestT_contra, CandidateT_co]):
    """Generates candidates; the same request and number give the same image, whatever else is wanted."""

    def generate(
        self, wanted: Sequence[tuple[RequestT_contra, int]]
    ) -> Iterator[CandidateT_co]: ...


def generate_and_choose(
    sampler: Sampler[RequestT, CandidateT],
    requests: Sequence[RequestT],
    keep: Keep,
    num_candidates: int,
    scorer: CandidateScorer | None,
) -> list[Chosen[CandidateT]]:
    """The candidates that go on, in the order of `requests`, each request's in the order of their numbers.

    With `all` every candidate does; else one of each request does, and no more are generated than it takes.
    """
    if scorer is None:
        wanted = [(request, number) for request in requests for number in range(num_candidates)]
        return [Chosen(generated) for generated in sampler.generate(wanted)]
    references = scorer.references(requests)
    decided: list[list[tuple[CandidateDecision, CandidateT]]] = [[] for _ in requests]
    place_of = {request.pair.id: place for place, request in enumerate(requests)}
    open_places = list(range(len(requests)))
    for number in range(num_candidates):
        candidates = list(sampler.generate([(requests[place], number) for place in open_places]))
        for decision, generated in zip(
            scorer.decisions(candidates, references), candidates, strict=True
        ):
            decided[place_of[generated.request.pair.id]].append((decision, generated))
        if keep == "first-accepted":
            open_places = [place for place in open_places if not decided[place][-1][0].accepted]
        if not open_places:
            break
    return [_best(of_request) for of_request in decided]


def in_place(
    waiting: Iterable[Pair],
    chosen: Iterable[Chosen[CandidateT]],
    dropped: Mapping[str, Pair],
    outcome: Callable[[Chosen[CandidateT]], Pair],
) -> list[Pair]:
    """The pairs that have been waiting, each with what came of it in its place.

    `outcome` gives the pair of a candidate that goes on; `dropped` has those that were never generated, by
    id. A pair that is in neither stays as it was.
    """
    outcomes = {pair_id: [pair] for pair_id, pair in dropped.items()}
    for each in chosen:
        outcomes.setdefault(each.generated.request.pair.id, []).append(outcome(each))
    return [done for pair in waiting for done in outcomes.get(pair.id, [pair])]


def with_image(pair: Pair, generated: Candidate, stage: str) -> Pair:
    """The pair with the image of a candidate, or dropped for what the image is."""
    reason = image_defect(generated.image)
    return (
        pair.with_image(png_ref(generated.image)) if reason is None else pair.dropped(stage, reason)
    )


def choice_trace(chosen: Chosen[Any], scorer: CandidateScorer) -> dict[str, Any]:
    """What a pair's trace says of how its image was chosen, as plain JSON values."""
    trace: dict[str, Any] = {"candidate": chosen.generated.number}
    if chosen.decision is None:
        return trace
    scores = {
        name: None if value is None else round(value, 6)
        for name, value in chosen.decision.scores.items()
    }
    return {
        **trace,
        "num_candidates": chosen.num_generated,
        "accepted": chosen.decision.accepted,
        "candidate_scores": scores,
        "bounds": scorer.bounds,
    }


def _best(decided: Iterable[tuple[CandidateDecision, CandidateT]]) -> Chosen[CandidateT]:
    """The candidate that ranks highest; of equals the one generated first."""
    candidates = list(decided)
    decision, generated = max(candidates, key=lambda each: each[0].rank)
    return Chosen(generated, decision, len(candidates))
