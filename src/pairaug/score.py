"""Scores: every film and report is encoded, and a pair's cosines and vectors are noted on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pairaug.clip.folder import scorer_folder, weights_sha256
from pairaug.clip.similarity import cosine, edit_scores
from pairaug.clip.window import WindowPolicy
from pairaug.errors import DataError
from pairaug.images import load_image
from pairaug.pair import Branch, Pair
from pairaug.settings import StageSettings
from pairaug.stage import Context, batched

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

DROP_REASONS = {
    "no_image": "a synthetic pair has no image to be scored",
    "unreadable_image": "the film could not be decoded, or is no longer there",
    "source_not_scored": "the real pair that it was made from has no vectors to compare with",
    "no_change": "the film or the report is the same as the source's, so no change can be compared",
}


class ScoreSettings(StageSettings):
    """Which model scores, and how."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a transformers CLIP model: a local folder or a hub id. The "
        "paper's is MedCLIP.",
    )
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    allow_pickle: bool = Field(
        default=False,
        description="Load pickled weights, which can run code, where there are no others.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="Films, and windows of text, encoded at once."
    )
    long_report: WindowPolicy = Field(
        default="average",
        description="A report beyond the text encoder's window: `average` encodes it in windows "
        "of whole sentences, `truncate` keeps what fits.",
    )


@dataclass(frozen=True, slots=True)
class _Vectors:
    """A pair's two unit vectors."""

    image: np.ndarray
    report: np.ndarray


class Score:
    """The stage: adds scores and vectors to every pair, real ones too.

    - `image_report`, for all: cos(f(x), g(y)); the paper's S_a and S1. On real pairs it is the
      reference that synthetic ones can be held against; no rule prunes by it.
    - `image_image`, for edits: cos(f(x'), f(x)), S2, with the source's film as stored.
    - `change`, for edits: cos(f(x') - f(x), g(y') - g(y)), S3.

    An edit's source must come before it in the stream. Films and texts that occur again in one
    batch, and sources, are encoded once.
    """

    name = "score"

    def __init__(self, settings: ScoreSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair with its scores, in order, or dropped."""
        sources: dict[str, _Vectors] = {}
        for group in batched(pairs, self._settings.batch_size):
            encoded = self._encoded(group)
            for pair, vectors in encoded:
                if vectors is not None and pair.branch is Branch.REAL:
                    sources[pair.id] = vectors
                yield pair if vectors is None else self._scored(pair, vectors, sources)
            self._context.report_progress(len(group))

    @staticmethod
    def weights(settings: ScoreSettings) -> dict[str, str]:
        """The scorer and its SHA-256, for the fingerprint."""
        return {settings.model: weights_sha256(_folder(settings))}

    @cached_property
    def _encoder(self) -> Encoder:
        # Only now: tensor libraries and weights are loaded for the first pair.
        from pairaug.clip.encoders import open_encoder

        return open_encoder(
            _folder(self._settings),
            device=self._context.device,
            dtype=self._context.dtype,
            batch_size=self._settings.batch_size,
            window_policy=self._settings.long_report,
            allow_pickle=self._settings.allow_pickle,
        )

    def _encoded(self, group: Sequence[Pair]) -> list[tuple[Pair, _Vectors | None]]:
        """Each pair with its vectors, or dropped and None."""
        films: dict[str, np.ndarray] = {}
        checked = [self._with_film(pair, films) for pair in group]
        living = [pair for pair in checked if pair.drop is None]
        texts = dict.fromkeys(pair.report.text for pair in living)
        image_rows = dict(zip(films, self._encoder.encode_images([*films.values()]), strict=True))
        report_rows = dict(zip(texts, self._encoder.encode_reports([*texts]), strict=True))
        return [
            (pair, None)
            if pair.drop
            else (pair, _Vectors(image_rows[_film_key(pair)], report_rows[pair.report.text]))
            for pair in checked
        ]

    def _with_film(self, pair: Pair, films: dict[str, np.ndarray]) -> Pair:
        """`pair` with its film put into `films`, or dropped."""
        if pair.image is None:
            return pair.dropped(self.name, "no_image")
        key = _film_key(pair)
        if key not in films:
            try:
                films[key] = load_image(pair.image)
            except DataError as error:
                kind = type(error.__cause__ or error).__name__
                return pair.dropped(self.name, "unreadable_image", kind)
        return pair

    def _scored(self, pair: Pair, own: _Vectors, sources: dict[str, _Vectors]) -> Pair:
        windows = self._encoder.windows(pair.report.text)
        pair = pair.with_embeddings(image=own.image.tolist(), report=own.report.tolist())
        pair = pair.with_trace(
            self.name,
            model=self._settings.model,
            weights_sha256=self._encoder.weights_sha256,
            encoder=self._encoder.fingerprint,
            num_tokens=windows.num_tokens_in_report,
            num_windows=len(windows.texts),
            truncated=windows.truncated,
        )
        if pair.branch is not Branch.INTRA:
            return pair.with_scores(image_report=cosine(own.image, own.report))
        source = sources.get(pair.parent_id or "")
        if source is None:
            pair = pair.with_scores(image_report=cosine(own.image, own.report))
            return pair.dropped(self.name, "source_not_scored")
        scores = edit_scores(own.image, own.report, source.image, source.report)
        pair = pair.with_scores(**scores)
        return pair if scores["change"] is not None else pair.dropped(self.name, "no_change")


def _folder(settings: ScoreSettings) -> Path:
    return scorer_folder(settings.model, settings.revision, settings.allow_pickle)


def _film_key(pair: Pair) -> str:
    """What two pairs share that have the same film; their own id where no hash is known."""
    assert pair.image is not None
    return pair.image.sha256 or pair.id
