"""Which candidate is good enough: an image-text model's scores against bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from pairaug.candidates.records import Candidate, CandidateDecision, ImageRequest
from pairaug.candidates.settings import AcceptSettings
from pairaug.clip.folder import scorer_folder, weights_sha256
from pairaug.clip.similarity import pair_scores
from pairaug.errors import DataError, SettingsError
from pairaug.imaging.io import image_defect, load_image
from pairaug.pair import SCORES, Branch, Pair
from pairaug.record import RECORD_NAME, RunRecord, read_record
from pairaug.stage import RunContext

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

Vector = Float32[np.ndarray, " dimension"]

_SCORES = {Branch.INTER: ("image_report",), Branch.INTRA: SCORES}
"""What an image of each branch is judged by: S_a, or S1, S2 and S3."""

_STAGES = {Branch.INTER: "generate", Branch.INTRA: "edit"}
_KINDS = {Branch.INTER: "new patients", Branch.INTRA: "edits"}


@dataclass(frozen=True, slots=True)
class Reference:
    """What every candidate of a request is compared with."""

    report: Vector
    source_report: Vector | None = None
    """None for a new patient, who has no source."""
    source_image: Vector | None = None
    """None also where the source's image cannot be read."""


class CandidateScorer:
    """Scores candidates as the stage `score` would, and says whether they are above the bounds."""

    def __init__(self, settings: AcceptSettings, branch: Branch, context: RunContext) -> None:
        self._settings = settings
        self._branch = branch
        self._context = context

    @staticmethod
    def weights(settings: AcceptSettings, branch: Branch) -> dict[str, str]:
        """What decides besides the settings, by name: the scorer, and the rule of another run."""
        own = weights_sha256(_folder(settings))
        hashes = {f"judge {settings.model}": own}
        if settings.bounds_from is not None:
            rule = json.dumps(_bounds_of_run(settings, branch, own), sort_keys=True)
            hashes[f"rule of {settings.bounds_from}"] = sha256(rule.encode()).hexdigest()
        return hashes

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Score → what a candidate has to exceed; empty: every image that is none at fault passes."""
        settings = self._settings
        fitted: dict[str, float] = {}
        if settings.bounds_from is not None:
            fitted = _bounds_of_run(settings, self._branch, self._encoder.weights_sha256)
        return {**fitted, **settings.own_bounds()}

    def references(self, requests: Sequence[ImageRequest]) -> dict[str, Reference]:
        """What the candidates of each request are compared with, by the request's pair."""
        sources = {
            request.source.id: request.source for request in requests if request.source is not None
        }
        images = {key: _image_of(source) for key, source in sources.items()}
        readable = {key: image for key, image in images.items() if image is not None}
        embeddings = dict(
            zip(readable, self._encoder.encode_images([*readable.values()]), strict=True)
        )
        texts = list(dict.fromkeys(text for request in requests for text in _texts_of(request)))
        reports = dict(zip(texts, self._encoder.encode_reports(texts), strict=True))
        return {
            request.pair.id: Reference(reports[request.pair.report.text])
            if request.source is None
            else Reference(
                reports[request.pair.report.text],
                reports[request.pair.source_report or ""],
                embeddings.get(request.source.id),
            )
            for request in requests
        }

    def decisions(
        self, candidates: Sequence[Candidate], references: Mapping[str, Reference]
    ) -> list[CandidateDecision]:
        """One decision for each candidate; an image that would be a drop has no scores and never passes."""
        images = {
            place: each.image
            for place, each in enumerate(candidates)
            if image_defect(each.image) is None
        }
        embeddings = dict(zip(images, self._encoder.encode_images([*images.values()]), strict=True))
        return [
            self._decision(embeddings[place], references[each.request.pair.id])
            if place in embeddings
            else CandidateDecision(self._scores({}), accepted=False)
            for place, each in enumerate(candidates)
        ]

    def _decision(self, image: Vector, reference: Reference) -> CandidateDecision:
        vectors = reference.report, reference.source_image, reference.source_report
        scores = self._scores(pair_scores(image, *vectors))
        reached = (
            (value := scores.get(name)) is not None and value > bound
            for name, bound in self.bounds.items()
        )
        return CandidateDecision(scores, accepted=all(reached))

    def _scores(self, found: Mapping[str, float | None]) -> dict[str, float | None]:
        """The branch's scores, null where they were not found."""
        return {name: found.get(name) for name in _SCORES[self._branch]}

    @cached_property
    def _encoder(self) -> Encoder:
        from pairaug.clip.encoders import open_encoder

        return open_encoder(
            _folder(self._settings),
            device=self._context.device,
            dtype=self._context.dtype,
            allow_pickle=self._settings.allow_pickle,
        )


def _texts_of(request: ImageRequest) -> tuple[str, ...]:
    """The pair's report, and for an edit the text that it was rewritten from."""
    own = request.pair.report.text
    return (own,) if request.source is None else (own, request.pair.source_report or "")


def _folder(settings: AcceptSettings) -> Path:
    return scorer_folder(settings.model, settings.revision, settings.allow_pickle)


def _image_of(source: Pair) -> np.ndarray | None:
    if source.image is None:
        return None
    try:
        return load_image(source.image)
    except DataError:
        # Only edits of a generated source come here without a readable image: `score` drops the source.
        return None


def _bounds_of_run(settings: AcceptSettings, branch: Branch, weights: str) -> dict[str, float]:
    """The bounds for a branch that a run's pruning fitted, from its `run.json`.

    Raises `SettingsError` where it has none, or fitted them on the scores of another scorer than
    the one with these `weights`: a bound means nothing on another model's scale.
    """
    assert settings.bounds_from is not None
    where, kind = f"{_STAGES[branch]}.accept", _KINDS[branch]
    path = settings.bounds_from / RECORD_NAME
    record = read_record(path) or RunRecord()
    rule, scorers = record.rule.get(branch.value), record.weights.get("score")
    if not rule or not scorers:
        raise SettingsError(
            f"{where}.bounds_from: {path} has no fitted rule for {kind}; name the folder of a run "
            "that has been pruned"
        )
    bounds = {name: float(value) for name, value in rule.get("bounds", {}).items()}
    # The first; a second one, the audit's, prunes nothing.
    scorer, scored_by = next(iter(scorers.items()))
    if not bounds:
        raise SettingsError(
            f"{where}.bounds_from: the rule for {kind} of {settings.bounds_from} sets no bound on a "
            f"score, so that nothing could fail it; set bounds in {where}"
        )
    if scored_by != weights:
        raise SettingsError(
            f"{where}.bounds_from: the bounds of {settings.bounds_from} are on the scale of its "
            f"scorer {scorer}; set {where}.model to that, or set bounds in {where}"
        )
    return bounds
