"""Encoders of images and reports to unit vectors of one space, for any supported model.

An encoder owns its image transform, its tokenizer and its policy for reports longer than the
window. It does not need torchvision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from pairaug.clip.folder import IMAGE_ONLY_KINDS, KINDS, model_type, weights_sha256
from pairaug.clip.loading import load_tokenizer
from pairaug.clip.towers import Towers, open_towers, part_of
from pairaug.clip.transform import (
    CheXzeroTransform,
    GreyImage,
    ImageTransform,
    MedClipTransform,
    Transform,
    image_settings,
)
from pairaug.clip.window import WindowPolicy, Windows, fit_windows
from pairaug.errors import ModelError
from pairaug.hub.inference import dtype_of, for_inference
from pairaug.hub.loading import check_part, open_config
from pairaug.hub.tokenizers import check_vocabulary

__all__ = [
    "ClipEncoder",
    "Encoder",
    "GreyImage",
    "ImageTransform",
    "UnitVectors",
    "check_scorer",
    "image_settings",
    "open_encoder",
]

UnitVectors = Float32[np.ndarray, "row dimension"]


@runtime_checkable
class Encoder(Protocol):
    """Images and reports to unit vectors of one space."""

    fingerprint: str
    """Hash of the image transform, the tokenizer and the window policy; not of the weights."""
    weights_sha256: str
    logit_scale: float | None
    """Factor on cosines during training; not applied to vectors or scores."""
    encodes_reports: bool
    """False for an image-only model, whose `encode_reports` raises `ModelError`."""

    def encode_images(self, images: Sequence[GreyImage]) -> UnitVectors:
        """Unit vectors of images in [0, 1], float32, one channel, of any size."""
        ...

    def encode_reports(self, reports: Sequence[str]) -> UnitVectors:
        """Unit vectors of reports."""
        ...

    def windows(self, report: str) -> Windows:
        """The windows of a report that are encoded."""
        ...


def open_encoder(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    batch_size: int = 16,
    window_policy: WindowPolicy = "average",
    allow_pickle: bool = False,
) -> Encoder:
    """The encoder in a folder; `ModelError` if it cannot be used.

    `model_type` in config.json selects a model in transformers layout, or weights under the
    original names of MedCLIP or CheXzero beside a tokenizer.
    """
    kind = model_type(folder)
    if kind not in KINDS:
        raise ModelError(
            f"{folder} holds a model of type {kind!r}; supported scorers: {', '.join(KINDS)}"
        )
    towers, transform = _open(kind, folder, dtype_of(dtype), allow_pickle)
    towers.model = for_inference(towers.model, device)
    tokenizer = None if kind in IMAGE_ONLY_KINDS else load_tokenizer(folder, kind)
    if tokenizer is not None:
        check_vocabulary(tokenizer, towers.num_words, folder)
    return ClipEncoder(
        towers,
        transform,
        tokenizer,
        weights_sha256=weights_sha256(folder),
        batch_size=batch_size,
        window_policy=window_policy,
    )


def check_scorer(folder: Path, allow_pickle: bool = False) -> None:
    """Raises `ModelError` if the scorer in `folder` is incomplete.

    Models in transformers layout are checked without reading weights; others are opened.
    """
    kind = model_type(folder)
    if kind not in KINDS or kind in ("medclip", "chexzero"):
        open_encoder(folder, allow_pickle=allow_pickle)
        return
    part = part_of(kind, folder, allow_pickle)
    check_part(part)
    image_settings(folder)
    if kind not in IMAGE_ONLY_KINDS:
        num_words = int(open_config(part.kind, folder).text_config.vocab_size)
        check_vocabulary(load_tokenizer(folder, kind), num_words, folder)


def _open(
    kind: str, folder: Path, dtype: torch.dtype, allow_pickle: bool
) -> tuple[Towers, Transform]:
    if kind == "medclip":
        from pairaug.clip.medclip import IMAGE_SIZE, open_medclip

        medclip = open_medclip(folder, dtype, allow_pickle)
        return medclip, MedClipTransform(IMAGE_SIZE, medclip.num_channels)
    if kind == "chexzero":
        from pairaug.clip.chexzero import open_chexzero

        chexzero, size = open_chexzero(folder, dtype, allow_pickle)
        return chexzero, CheXzeroTransform(size, chexzero.num_channels)
    settings = image_settings(folder)
    towers = open_towers(kind, folder, dtype, allow_pickle)
    return towers, ImageTransform(settings, towers.num_channels)


class ClipEncoder:
    """An encoder with two towers, or with an image tower only."""

    def __init__(
        self,
        towers: Towers,
        transform: Transform,
        tokenizer: Any,
        *,
        weights_sha256: str,
        batch_size: int = 16,
        window_policy: WindowPolicy = "average",
    ) -> None:
        self._towers = towers
        self._model = towers.model
        self._transform = transform
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._policy: WindowPolicy = window_policy
        self.encodes_reports = tokenizer is not None
        self.logit_scale = towers.logit_scale
        self._lengths, self._limit = _lengths_and_limit(towers, tokenizer)
        self.weights_sha256 = weights_sha256
        self.fingerprint = self._fingerprint()

    @torch.inference_mode()
    def encode_images(self, images: Sequence[GreyImage]) -> UnitVectors:
        """Unit vectors of images."""
        vectors = []
        for group in _groups(images, self._batch_size):
            pixels = _fill_up(self._transform(group), self._batch_size)
            features = self._towers.image_features(pixels.to(self._model_device, self._model_dtype))
            vectors.append(_unit(features[: len(group)]))
        return self._stack(vectors)

    @torch.inference_mode()
    def encode_reports(self, reports: Sequence[str]) -> UnitVectors:
        """Unit vectors of reports: the mean over windows, weighted by tokens and normalized."""
        windows = [self.windows(report) for report in reports]
        rows = self._encode_texts([text for window in windows for text in window.texts])
        vectors, start = [], 0
        for window in windows:
            end = start + len(window.texts)
            # A report without tokens, such as "", is a single window of weight 0.
            weights = np.maximum(np.asarray(window.num_tokens, dtype=np.float64), 1.0)
            mean = (weights[:, None] * rows[start:end]).sum(axis=0)
            # A single window is a unit vector already; normalizing again would only add rounding.
            vector = rows[start] if end - start == 1 else mean / np.linalg.norm(mean)
            vectors.append(vector.astype(np.float32)[None])
            start = end
        return self._stack(vectors)

    def windows(self, report: str) -> Windows:
        """The windows of a report that are encoded."""
        if not self.encodes_reports:
            raise ModelError("this scorer encodes images only: it has no text tower")
        return fit_windows(report, self._count_tokens, self._limit, self._policy)

    @property
    def _model_device(self) -> torch.device:
        return next(self._model.parameters()).device

    @property
    def _model_dtype(self) -> torch.dtype:
        return next(self._model.parameters()).dtype

    def _encode_texts(self, texts: list[str]) -> UnitVectors:
        """Unit vectors of texts, encoded in groups of similar length."""
        ids = [self._tokenizer(text)["input_ids"] for text in texts]
        places = np.searchsorted(self._lengths, [len(each) for each in ids])
        vectors = self._stack([np.zeros((len(texts), self._towers.dimension), np.float32)])
        for place, length in enumerate(self._lengths):
            for rows in _groups(np.flatnonzero(places == place).tolist(), self._batch_size):
                vectors[rows] = self._encode_ids([ids[row] for row in rows], length)
        return vectors

    def _encode_ids(self, ids: Sequence[list[int]], length: int) -> np.ndarray:
        """Unit vectors of tokens padded to `length`, independent of the rest of the batch."""
        padded = torch.full((len(ids), length), int(self._tokenizer.pad_token_id))
        mask = torch.zeros_like(padded)
        for row, each in enumerate(ids):
            padded[row, : len(each)] = torch.tensor(each)
            mask[row, : len(each)] = 1
        features = self._towers.text_features(
            _fill_up(padded, self._batch_size).to(self._model_device),
            _fill_up(mask, self._batch_size).to(self._model_device),
        )
        return _unit(features[: len(ids)])

    def _count_tokens(self, text: str) -> int:
        # Not verbose: it would warn about the length that is being measured here.
        tokens = self._tokenizer(text, add_special_tokens=False, verbose=False)
        return len(tokens["input_ids"])

    def _stack(self, vectors: list[np.ndarray]) -> UnitVectors:
        empty = np.zeros((0, self._towers.dimension), dtype=np.float32)
        return np.concatenate([empty, *vectors])

    def _fingerprint(self) -> str:
        parts = [self._transform.to_json()]
        if self.encodes_reports:
            parts += [
                _tokenizer_text(self._tokenizer),
                json.dumps([self._lengths[-1], self._policy]),
            ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _lengths_and_limit(towers: Towers, tokenizer: Any) -> tuple[list[int], int]:
    """(lengths that texts are padded to, tokens of a report that fit into the last)."""
    if tokenizer is None:
        return [], 0
    if tokenizer.pad_token_id is None:
        raise ModelError("the scorer's tokenizer has no padding token")
    longest = min(towers.max_tokens, int(tokenizer.model_max_length))
    lengths = [length for length in towers.lengths if length < longest] + [longest]
    return lengths, longest - int(tokenizer.num_special_tokens_to_add())


def _tokenizer_text(tokenizer: Any) -> str:
    """The tokenizer's settings as canonical text, for the fingerprint."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return backend.to_str()
    named = [type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.special_tokens_map]
    return json.dumps(named, sort_keys=True, default=str)


def _groups(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _fill_up(rows: Tensor, size: int) -> Tensor:
    """`rows` padded to `size` rows with copies of the first.

    The number of rows changes the summation order of a matrix product, so all batches have one
    size.
    """
    return torch.cat([rows, rows[:1].expand(size - len(rows), *rows.shape[1:])])


def _unit(vectors: Tensor) -> np.ndarray:
    """Rows of length 1, float32, on the CPU."""
    rows = vectors.float()
    rows = (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()
    if not np.isfinite(rows).all():
        raise ModelError(
            "the scorer returns vectors that are not finite; its weights are damaged, or its dtype "
            "overflows: set dtype to float32"
        )
    return rows
