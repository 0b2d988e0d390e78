"""The stage: encodes every image and report, and adds scores and vectors to each pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from pairaug.clip.folder import weights_sha256
from pairaug.imaging.files import ImageError
from pairaug.imaging.io import load_image
from pairaug.pair import Branch, ImageRef, Pair
from pairaug.score.scorer import PairScorer, PairVectors, rounded, scores_of
from pairaug.score.settings import AuditSettings, ScoreSettings, folder_of
from pairaug.stage import RunContext, batched

DROP_REASONS = {
    "no_image": "the pair has no image",
    "no_report": "the report is empty",
    "missing_image": "the image, or that of an edit's real pair, is no longer on disk",
    "changed_image": "the image, or that of its real pair, has changed since it was read",
    "unreadable_image": "the image could not be decoded",
    "source_not_scored": "its real pair has no vectors, or the text that was rewritten is unknown",
    "no_change": "image or report equals the source's, so `directional` is undefined",
}

# Batches of pairs that are encoded together, so that images and reports that are new fill whole
# batches. No more than two batches of images are in memory.
_WINDOW = 16
_DECODERS = 4


class Score:
    """The stage: adds scores and vectors to every pair, real ones too.

    - `image_report`, for all: cos(f(x), g(y)); the paper's S_a and S1. On real pairs it is a
      reference for synthetic ones.
    - `image_image`, for edits: cos(f(x'), f(x)), S2, with the source's image as stored.
    - `directional`, for edits: cos(f(x') - f(x), g(y') - g(y)), S3, with
      y the text that was rewritten into y' (`source_report`), not the source's whole report.

    An edit's source must precede it in the stream. Each distinct image or report is encoded once;
    images are decoded while others are encoded.
    """

    name = "score"

    def __init__(self, settings: ScoreSettings, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._unreadable: dict[bytes, tuple[str, str]] = {}

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair with its scores, in order, or dropped."""
        sources: dict[str, bytes] = {}
        lost: dict[str, str] = {}
        batch_size = self._settings.batch_size
        with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
            for window in batched(pairs, _WINDOW * batch_size):
                self._encode(window, pool)
                for group in batched(window, batch_size):
                    yield from (self._scored(pair, sources, lost) for pair in group)
                    self._context.report_progress(len(group))

    @staticmethod
    def weights(settings: ScoreSettings) -> dict[str, str]:
        """The scorers and their SHA-256, for the fingerprint."""
        chosen = [settings, settings.audit] if settings.audit else [settings]
        return {each.model: weights_sha256(folder_of(each)) for each in chosen}

    @cached_property
    def _scorers(self) -> tuple[PairScorer, ...]:
        """The scorer, and the audit's if there is one."""
        audit = self._settings.audit
        return (self._open(self._settings), *([self._open(audit)] if audit else []))

    def _open(self, settings: ScoreSettings | AuditSettings) -> PairScorer:
        # Imported late: tensor libraries and weights are loaded for the first pair.
        from pairaug.clip.encoders import open_encoder

        encoder = open_encoder(
            folder_of(settings),
            device=self._context.device,
            dtype=self._dtype,
            batch_size=self._settings.batch_size,
            window_policy=self._settings.long_report,
            allow_pickle=settings.allow_pickle,
        )
        return PairScorer(encoder)

    @property
    def _dtype(self) -> str:
        own = self._settings.dtype
        return self._context.dtype if own == "auto" else own

    def _encode(self, window: Sequence[Pair], pool: ThreadPoolExecutor) -> None:
        """Encodes the new images and reports of some pairs, and records unreadable images."""
        scored = [pair for pair in window if self._defect(pair) is None]
        images = {
            _image_key(pair): pair.image
            for pair in scored
            if pair.image and not self._scorers[0].knows_image(_image_key(pair))
        }
        groups = list(batched(images.items(), self._settings.batch_size))
        coming = _decoding(groups[0], pool) if groups else {}
        texts = (text for pair in scored for text in _texts_of(pair))
        reports = {_digest(text): text for text in texts}
        for scorer in self._scorers:
            scorer.add_reports(reports)
        for index in range(len(groups)):
            decoded = {key: future.result() for key, future in coming.items()}
            coming = _decoding(groups[index + 1], pool) if index + 1 < len(groups) else {}
            self._unreadable |= {key: why for key, why in decoded.items() if isinstance(why, tuple)}
            readable = {
                key: image for key, image in decoded.items() if not isinstance(image, tuple)
            }
            for scorer in self._scorers:
                scorer.add_images(readable)

    def _defect(self, pair: Pair) -> tuple[str, str] | None:
        """The drop reason, with its detail, of a pair that cannot be scored; None for others."""
        if pair.image is None:
            return "no_image", ""
        if not pair.report.text:
            return "no_report", ""
        if pair.branch is Branch.INTRA and not pair.source_report:
            return "source_not_scored", "it has no source_report"
        return self._unreadable.get(_image_key(pair))

    def _defect_of_parent(self, pair: Pair, lost: Mapping[str, str]) -> tuple[str, str] | None:
        """The reason to drop a pair because of its real pair, or None.

        If the real pair's file changed, all pairs made from it are dropped; if it is missing, only
        edits are, which are compared with it.
        """
        reason = lost.get(pair.parent_id or "")
        is_gone = reason == "missing_image" and pair.branch is Branch.INTRA
        is_void = reason == "changed_image" or is_gone
        return (reason, "that of its real pair") if reason and is_void else None

    def _scored(self, pair: Pair, sources: dict[str, bytes], lost: dict[str, str]) -> Pair:
        """The pair with its scores, or dropped.

        `sources` maps real pairs' ids to their images, `lost` those of dropped pairs to reasons.
        """
        image_defect = self._defect(pair) or self._defect_of_parent(pair, lost)
        if image_defect is not None:
            lost[pair.id] = image_defect[0]
            return pair.dropped(self.name, *image_defect)
        image = _image_key(pair)
        own = self._vectors(image, pair.report.text)
        assert own[0].report is not None
        pair = pair.with_embeddings(image=own[0].image.tolist(), report=own[0].report.tolist())
        pair = pair.with_trace(self.name, **self._trace(pair))
        if pair.branch is Branch.REAL:
            sources[pair.id] = image
        is_edit = pair.branch is Branch.INTRA
        before = self._before(pair, sources) if is_edit else None
        if before and before[0].report is not None:
            pair = pair.with_embeddings(source_report=before[0].report.tolist())
        scores = [
            scores_of(vectors, before[index] if before else None)
            for index, vectors in enumerate(own)
        ]
        if self._settings.audit is not None:
            model = self._settings.audit.model
            pair = pair.with_trace(self.name, audit={"model": model, **rounded(scores[1])})
        pair = pair.with_scores(**scores[0])
        if not is_edit:
            return pair
        if before is None:
            return pair.dropped(self.name, "source_not_scored")
        return (
            pair if scores[0]["directional"] is not None else pair.dropped(self.name, "no_change")
        )

    def _before(self, pair: Pair, sources: dict[str, bytes]) -> tuple[PairVectors, ...] | None:
        """Vectors of an edit's source image and of the rewritten text, one for each scorer."""
        image = sources.get(pair.parent_id or "")
        return None if image is None else self._vectors(image, pair.source_report or "")

    def _vectors(self, image: bytes, report: str) -> tuple[PairVectors, ...]:
        return tuple(scorer.vectors(image, _digest(report)) for scorer in self._scorers)

    def _trace(self, pair: Pair) -> dict[str, Any]:
        scorer = self._scorers[0]
        windows = scorer.windows(pair.report.text)
        scale = scorer.encoder.logit_scale
        return {
            "model": self._settings.model,
            "weights_sha256": scorer.encoder.weights_sha256,
            "encoder": scorer.encoder.fingerprint,
            "logit_scale": None if scale is None else round(scale, 6),
            "num_tokens": windows.num_tokens_in_report,
            "num_windows": len(windows.texts),
            "truncated": windows.truncated,
        }


def _decoding(
    images: Sequence[tuple[bytes, ImageRef]], pool: ThreadPoolExecutor
) -> dict[bytes, Future[np.ndarray | tuple[str, str]]]:
    """Futures of decoded images: an array, or a drop reason with its detail."""
    return {key: pool.submit(_decoded, image) for key, image in images}


def _decoded(image: ImageRef) -> np.ndarray | tuple[str, str]:
    try:
        return load_image(image)
    except ImageError as error:
        return error.reason, str(error)


def _image_key(pair: Pair) -> bytes:
    """The same key for pairs with the same image; of the pair's id if the image has no hash."""
    assert pair.image is not None
    # With the path: of two equal files, one may have changed since.
    known = (pair.image.sha256, pair.image.path)
    return _digest(" ".join(filter(None, known)) or pair.id)


def _texts_of(pair: Pair) -> tuple[str, ...]:
    """The encoded texts of a pair: its report, and for an edit the text that was rewritten."""
    if pair.branch is Branch.INTRA:
        return pair.report.text, pair.source_report or ""
    return (pair.report.text,)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
