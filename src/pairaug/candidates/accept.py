"""Scores candidates with an image-text model and accepts those above all bounds."""

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

Embedding = Float32[np.ndarray, " dimension"]

_SCORES = {Branch.INTER: ("image_report",), Branch.INTRA: SCORES}
"""The scores of each branch's candidates: S_a, or S1, S2 and S3."""

_STAGES = {Branch.INTER: "generate", Branch.INTRA: "edit"}
_KINDS = {Branch.INTER: "new patients", Branch.INTRA: "edits"}


@dataclass(frozen=True, slots=True)
class Reference:
    """The embeddings that every candidate of a request is compared with."""

    report: Embedding
    source_report: Embedding | None = None
    """None for a new patient."""
    source_image: Embedding | None = None
    """None for a new patient, or if the source's image cannot be read."""


class CandidateScorer:
    """Scores candidates as the stage `score` does, and compares the scores with the bounds."""

    def __init__(self, settings: AcceptSettings, branch: Branch, context: RunContext) -> None:
        self._settings = settings
        self._branch = branch
        self._context = context

    @staticmethod
    def weights(settings: AcceptSettings, branch: Branch) -> dict[str, str]:
        """Name → hash of what decides besides the settings: the scorer, and another run's rule."""
        own = weights_sha256(_folder(settings))
        hashes = {f"scorer {settings.model}": own}
        if settings.bounds_from is not None:
            rule = json.dumps(_bounds_of_run(settings, branch, own), sort_keys=True)
            hashes[f"rule of {settings.bounds_from}"] = sha256(rule.encode()).hexdigest()
        return hashes

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Score → bound that an accepted candidate exceeds; empty: any valid image is accepted."""
        settings = self._settings
        fitted: dict[str, float] = {}
        if settings.bounds_from is not None:
            fitted = _bounds_of_run(settings, self._branch, self._encoder.weights_sha256)
        return {**fitted, **settings.own_bounds()}

    def references(self, requests: Sequence[ImageRequest]) -> dict[str, Reference]:
        """Id of a request's pair → what its candidates are compared with."""
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
        """One decision for each candidate; defective images have null scores and are rejected."""
        images = {
            index: each.image
            for index, each in enumerate(candidates)
            if image_defect(each.image) is None
        }
        embeddings = dict(zip(images, self._encoder.encode_images([*images.values()]), strict=True))
        return [
            self._decision(embeddings[index], references[each.request.pair.id])
            if index in embeddings
            else CandidateDecision(self._scores({}), accepted=False)
            for index, each in enumerate(candidates)
        ]

    def _decision(self, image: Embedding, reference: Reference) -> CandidateDecision:
        vectors = reference.report, reference.source_image, reference.source_report
        scores = self._scores(pair_scores(image, *vectors))
        is_above = (
            (value := scores.get(name)) is not None and value > bound
            for name, bound in self.bounds.items()
        )
        return CandidateDecision(scores, accepted=all(is_above))

    def _scores(self, found: Mapping[str, float | None]) -> dict[str, float | None]:
        """The branch's scores; null where one cannot be computed."""
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
        # Only edits of a regenerated source come here; `score` drops the source.
        return None


def _bounds_of_run(settings: AcceptSettings, branch: Branch, weights: str) -> dict[str, float]:
    """The bounds that pruning fitted for a branch of another run, from its `run.json`.

    Raises `SettingsError` if there are none, or if they were fitted on another scorer's scores than
    the one with these `weights`: bounds of one scorer do not suit another.
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
    # The first scorer prunes; a second one is the audit.
    scorer, scored_by = next(iter(scorers.items()))
    if not bounds:
        raise SettingsError(
            f"{where}.bounds_from: the rule for {kind} of {settings.bounds_from} has no bound on a "
            f"score; set bounds in {where}"
        )
    if scored_by != weights:
        raise SettingsError(
            f"{where}.bounds_from: the bounds of {settings.bounds_from} are on the scale of its "
            f"scorer {scorer}; set {where}.model to that, or set bounds in {where}"
        )
    return bounds
