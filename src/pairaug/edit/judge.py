"""Which try of an edit is good enough: an image-text model's three scores against bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from pairaug.clip.folder import scorer_folder, weights_sha256
from pairaug.clip.similarity import pair_scores
from pairaug.edit.settings import SCORES, AcceptSettings
from pairaug.edit.tries import Job, Try, Verdict
from pairaug.errors import DataError, SettingsError
from pairaug.images import fault, load_image
from pairaug.stage import Context

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

Vector = Float32[np.ndarray, " dimension"]

_NO_RECORD = (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration)

_NOTHING: dict[str, float | None] = dict.fromkeys(SCORES)


@dataclass(frozen=True, slots=True)
class Reference:
    """What every try of a job is compared with."""

    report: Vector
    source_report: Vector
    source_image: Vector | None
    """None where the source's film cannot be read."""


class Judge:
    """Scores tries as the stage `score` would, and says whether they are above the bounds."""

    def __init__(self, settings: AcceptSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    @staticmethod
    def weights(settings: AcceptSettings) -> dict[str, str]:
        """What decides besides the settings, by name: the scorer, and the rule of another run."""
        own = weights_sha256(_folder(settings))
        hashes = {f"judge {settings.model}": own}
        if settings.fitted_by is not None:
            rule = json.dumps(_fitted_bounds(settings, own), sort_keys=True)
            hashes[f"rule of {settings.fitted_by}"] = sha256(rule.encode()).hexdigest()
        return hashes

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Score → what a try has to exceed; empty: every film that is none at fault passes."""
        settings = self._settings
        fitted: dict[str, float] = {}
        if settings.fitted_by is not None:
            fitted = _fitted_bounds(settings, self._encoder.weights_sha256)
        return {**fitted, **settings.own_bounds()}

    def references(self, jobs: Sequence[Job]) -> dict[str, Reference]:
        """What the tries of each job are compared with, by the job's pair."""
        films = {job.source.id: _film_of(job) for job in jobs}
        readable = {key: film for key, film in films.items() if film is not None}
        images = dict(zip(readable, self._encoder.encode_images([*readable.values()]), strict=True))
        texts = list(
            dict.fromkeys(
                text for job in jobs for text in (job.pair.report.text, job.source.report.text)
            )
        )
        reports = dict(zip(texts, self._encoder.encode_reports(texts), strict=True))
        return {
            job.pair.id: Reference(
                reports[job.pair.report.text],
                reports[job.source.report.text],
                images.get(job.source.id),
            )
            for job in jobs
        }

    def verdicts(self, tries: Sequence[Try], references: Mapping[str, Reference]) -> list[Verdict]:
        """One verdict for each try; a film that would be a drop has no scores and never passes."""
        films = {place: each.film for place, each in enumerate(tries) if fault(each.film) is None}
        images = dict(zip(films, self._encoder.encode_images([*films.values()]), strict=True))
        return [
            self._verdict(images[place], references[each.job.pair.id])
            if place in images
            else Verdict(_NOTHING, passed=False)
            for place, each in enumerate(tries)
        ]

    def _verdict(self, image: Vector, reference: Reference) -> Verdict:
        vectors = reference.report, reference.source_image, reference.source_report
        scores = {**_NOTHING, **pair_scores(image, *vectors)}
        reached = (
            (value := scores.get(name)) is not None and value > bound
            for name, bound in self.bounds.items()
        )
        return Verdict(scores, passed=all(reached))

    @cached_property
    def _encoder(self) -> Encoder:
        from pairaug.clip.encoders import open_encoder

        return open_encoder(
            _folder(self._settings),
            device=self._context.device,
            dtype=self._context.dtype,
            allow_pickle=self._settings.allow_pickle,
        )


def _folder(settings: AcceptSettings) -> Path:
    return scorer_folder(settings.model, settings.revision, settings.allow_pickle)


def _film_of(job: Job) -> np.ndarray | None:
    if job.source.image is None:
        return None
    try:
        return load_image(job.source.image)
    except DataError:
        # Only edits of a drawn source come here without a readable film: `score` drops the source.
        return None


def _fitted_bounds(settings: AcceptSettings, weights: str) -> dict[str, float]:
    """The bounds for edits that a run's pruning fitted, from its `run.json`.

    Raises `SettingsError` where it has none, or fitted them on the scores of another scorer than
    the one with these `weights`: a bound means nothing on another model's scale.
    """
    assert settings.fitted_by is not None
    path = settings.fitted_by / "run.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = record["rule"]["intra"]["bounds"].items()
        bounds = {name: float(value) for name, value in found}
        # The first; a second one, the audit's, prunes nothing.
        scorer, scored_by = next(iter(record["weights"]["score"].items()))
    except _NO_RECORD as error:
        raise SettingsError(
            f"edit.accept.fitted_by: {path} has no fitted rule for edits; name the folder of a run "
            "that has been pruned"
        ) from error
    if not bounds:
        raise SettingsError(
            f"edit.accept.fitted_by: the rule for edits of {settings.fitted_by} sets no bound on a "
            "score, so that nothing could fail it; set bounds in edit.accept"
        )
    if scored_by != weights:
        raise SettingsError(
            f"edit.accept.fitted_by: the bounds of {settings.fitted_by} are on the scale of its "
            f"scorer {scorer}; set edit.accept.model to that, or set bounds in edit.accept"
        )
    return bounds
