"""Generates one or several candidates for each report and chooses which of them are kept."""

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
    """A kept candidate, with its decision and the number of candidates if it was scored."""

    generated: CandidateT
    decision: CandidateDecision | None = None
    num_generated: int = 1


class Sampler(Protocol[RequestT_contra, CandidateT_co]):
    """Generates candidates. A request and number always give the same image."""

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
    """The kept candidates in the order of `requests`, those of one request by their numbers.

    `all` keeps every candidate; otherwise one of each request is kept, and `first-accepted` stops
    generating once one is accepted.
    """
    if scorer is None:
        wanted = [(request, number) for request in requests for number in range(num_candidates)]
        return [Chosen(generated) for generated in sampler.generate(wanted)]
    references = scorer.references(requests)
    decided: list[list[tuple[CandidateDecision, CandidateT]]] = [[] for _ in requests]
    index_of = {request.pair.id: index for index, request in enumerate(requests)}
    open_requests = list(range(len(requests)))
    for number in range(num_candidates):
        candidates = list(sampler.generate([(requests[index], number) for index in open_requests]))
        for decision, generated in zip(
            scorer.decisions(candidates, references), candidates, strict=True
        ):
            decided[index_of[generated.request.pair.id]].append((decision, generated))
        if keep == "first-accepted":
            open_requests = [index for index in open_requests if not decided[index][-1][0].accepted]
        if not open_requests:
            break
    return [_best(of_request) for of_request in decided]


def in_place(
    waiting: Iterable[Pair],
    chosen: Iterable[Chosen[CandidateT]],
    dropped: Mapping[str, Pair],
    outcome: Callable[[Chosen[CandidateT]], Pair],
) -> list[Pair]:
    """The waiting pairs, each replaced by its outcomes.

    `outcome` makes the pair of a kept candidate; `dropped` has the pairs without a candidate, by
    id. A pair that is in neither is returned unchanged.
    """
    outcomes = {pair_id: [pair] for pair_id, pair in dropped.items()}
    for each in chosen:
        outcomes.setdefault(each.generated.request.pair.id, []).append(outcome(each))
    return [done for pair in waiting for done in outcomes.get(pair.id, [pair])]


def with_image(pair: Pair, generated: Candidate, stage: str) -> Pair:
    """The pair with the image of a candidate, or dropped if the image is defective."""
    reason = image_defect(generated.image)
    return (
        pair.with_image(png_ref(generated.image)) if reason is None else pair.dropped(stage, reason)
    )


def choice_trace(chosen: Chosen[Any], scorer: CandidateScorer) -> dict[str, Any]:
    """The trace entries of a chosen image, as plain JSON values."""
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
    """The candidate that ranks highest; of equal ones the first generated."""
    candidates = list(decided)
    decision, generated = max(candidates, key=lambda each: each[0].rank)
    return Chosen(generated, decision, len(candidates))
