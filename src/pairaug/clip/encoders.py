"""Encoders of films and reports: unit vectors of one space, whatever model is behind them.

An encoder owns all that decides its vectors: the image transform, the tokenizer and what happens
to a report longer than its window. None of it needs torchvision.
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
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel, VisionTextDualEncoderModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pairaug.clip.folder import model_type, read_json, weights_sha256
from pairaug.clip.window import WindowPolicy, Windows, fit_windows
from pairaug.errors import ModelError
from pairaug.models import dtype_named, for_inference, one_line, without_progress_bar

Film = Float32[np.ndarray, "_ _"]
UnitVectors = Float32[np.ndarray, "row dimension"]

# Both have `get_image_features`, `get_text_features` and the two configurations.
_MODELS: dict[str, Any] = {
    "clip": CLIPModel,
    "vision-text-dual-encoder": VisionTextDualEncoderModel,
}


@runtime_checkable
class Encoder(Protocol):
    """Films and reports to unit vectors of one space."""

    fingerprint: str
    """Hash of the image transform, the tokenizer and the window policy; not of the weights."""
    weights_sha256: str

    def encode_images(self, images: Sequence[Film]) -> UnitVectors:
        """One unit vector for each film: float32 in [0, 1], one channel, of any size."""
        ...

    def encode_reports(self, reports: Sequence[str]) -> UnitVectors:
        """One unit vector for each report."""
        ...

    def windows(self, report: str) -> Windows:
        """What of a report is encoded, and how it is cut."""
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
    """The encoder in a folder in transformers layout; `ModelError` where it cannot be used."""
    kind = model_type(folder)
    if kind not in _MODELS:
        raise ModelError(
            f"{folder} holds a model of type {kind!r}; scorers known are: {', '.join(_MODELS)}"
        )
    torch_dtype = dtype_named(dtype)
    try:
        with without_progress_bar():
            loaded: Any = _MODELS[kind].from_pretrained(
                folder,
                dtype=torch_dtype,
                use_safetensors=None if allow_pickle else True,
                local_files_only=True,
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"cannot load the scorer in {folder}: {one_line(error)}") from error
    model, loading = loaded
    # transformers fills what is missing with random numbers and goes on.
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(f"{folder} lacks {len(missing)} weights; the first is {missing[0]}")
    return ClipEncoder(
        for_inference(model, device),
        ImageTransform(image_settings(folder), int(model.config.vision_config.num_channels)),
        tokenizer,
        weights_sha256=weights_sha256(folder),
        batch_size=batch_size,
        window_policy=window_policy,
    )


def image_settings(folder: Path) -> dict[str, Any]:
    """What a folder says of its image transform, for `CLIPImageProcessorPil`."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        settings = read_json(path)
    else:
        # Written by newer versions of transformers, for image and text together.
        path = folder / "processor_config.json"
        settings = read_json(path).get("image_processor") if path.is_file() else None
    if not isinstance(settings, dict):
        raise ModelError(
            f"{folder} has no preprocessor_config.json: its image transform is unknown"
        )
    kind = str(settings.get("image_processor_type", settings.get("feature_extractor_type", "CLIP")))
    if not kind.startswith("CLIP"):
        raise ModelError(f"{path} is for {kind}, not for a CLIP image transform")
    return settings


class ImageTransform:
    """A CLIP folder's image transform: resize, crop and normalise, by Pillow and NumPy."""

    def __init__(self, settings: dict[str, Any], num_channels: int = 3) -> None:
        self._processor: Any = CLIPImageProcessorPil.from_dict(
            {**_for_channels(settings, num_channels), "do_convert_rgb": False}
        )
        self._num_channels = num_channels

    def __call__(self, images: Sequence[Film]) -> Float32[Tensor, "image channel height width"]:
        """Normalised pixels of films in [0, 1], which become eight-bit grey first.

        Eight bits, because Pillow resizes and the models were trained on such: a film gives the
        same pixels as its PNG does through transformers.
        """
        levels = [np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8) for image in images]
        channels = [np.repeat(level[None], self._num_channels, axis=0) for level in levels]
        prepared = self._processor(
            images=channels, input_data_format="channels_first", return_tensors="np"
        )
        # A copy: what NumPy allocates is not aligned (see `models.for_inference`).
        return torch.tensor(np.asarray(prepared["pixel_values"], dtype=np.float32))

    def to_json(self) -> str:
        """All that decides the pixels, in one spelling."""
        settings = json.loads(self._processor.to_json_string())
        return json.dumps([settings, self._num_channels], sort_keys=True)


def _for_channels(settings: dict[str, Any], num_channels: int) -> dict[str, Any]:
    """`settings` with a mean and deviation for each channel, if there is one grey value for all."""
    fitted = dict(settings)
    for name in ("image_mean", "image_std"):
        values = settings.get(name)
        if not isinstance(values, (list, tuple)) or len(values) == num_channels:
            continue
        if len(set(values)) != 1:
            raise ModelError(
                f"the image transform has {len(values)} values of {name}, "
                f"the model {num_channels} channels"
            )
        fitted[name] = [values[0]] * num_channels
    return fitted


class ClipEncoder:
    """A transformers `CLIPModel`, or its model of any two towers."""

    def __init__(
        self,
        model: Any,
        transform: ImageTransform,
        tokenizer: Any,
        *,
        weights_sha256: str,
        batch_size: int = 16,
        window_policy: WindowPolicy = "average",
    ) -> None:
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._policy: WindowPolicy = window_policy
        positions = int(model.config.text_config.max_position_embeddings)
        self._length = min(positions, int(tokenizer.model_max_length))
        self._limit = self._length - int(tokenizer.num_special_tokens_to_add())
        self.weights_sha256 = weights_sha256
        self.fingerprint = self._fingerprint()

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Film]) -> UnitVectors:
        """One unit vector for each film."""
        vectors = []
        for group in _groups(images, self._batch_size):
            pixels = _filled_up(self._transform(group), self._batch_size)
            outputs = self._model.get_image_features(
                pixel_values=pixels.to(self._model.device, self._model.dtype)
            )
            vectors.append(_unit(outputs.pooler_output[: len(group)]))
        return self._stacked(vectors)

    @torch.inference_mode()
    def encode_reports(self, reports: Sequence[str]) -> UnitVectors:
        """One unit vector for each report: of its windows the mean by tokens, made unit again."""
        windows = [self.windows(report) for report in reports]
        rows = self._encode_texts([text for window in windows for text in window.texts])
        vectors, start = [], 0
        for window in windows:
            end = start + len(window.texts)
            # A report without any token, "" for one, is a single window of weight 0.
            weights = np.maximum(np.asarray(window.num_tokens, dtype=np.float64), 1.0)
            mean = (weights[:, None] * rows[start:end]).sum(axis=0)
            # One window is left as it is: dividing by its length again would only round.
            vector = rows[start] if end - start == 1 else mean / np.linalg.norm(mean)
            vectors.append(vector.astype(np.float32)[None])
            start = end
        return self._stacked(vectors)

    def windows(self, report: str) -> Windows:
        """What of a report is encoded, and how it is cut."""
        return fit_windows(report, self._count_tokens, self._limit, self._policy)

    def _encode_texts(self, texts: list[str]) -> UnitVectors:
        vectors = []
        for group in _groups(texts, self._batch_size):
            # Always padded to the window: a row's value must not hang on its neighbours' length.
            tokens = self._tokenizer(
                group, padding="max_length", max_length=self._length, return_tensors="pt"
            )
            outputs = self._model.get_text_features(
                input_ids=_filled_up(tokens["input_ids"], self._batch_size).to(self._model.device),
                attention_mask=_filled_up(tokens["attention_mask"], self._batch_size).to(
                    self._model.device
                ),
            )
            vectors.append(_unit(outputs.pooler_output[: len(group)]))
        return self._stacked(vectors)

    def _count_tokens(self, text: str) -> int:
        # Not verbose: it would warn of a report's length, which is what is being found out.
        tokens = self._tokenizer(text, add_special_tokens=False, verbose=False)
        return len(tokens["input_ids"])

    def _stacked(self, vectors: list[np.ndarray]) -> UnitVectors:
        dimension = int(self._model.config.projection_dim)
        empty = np.zeros((0, dimension), dtype=np.float32)
        return np.concatenate([empty, *vectors])

    def _fingerprint(self) -> str:
        parts = (
            self._transform.to_json(),
            self._tokenizer.backend_tokenizer.to_str(),
            json.dumps([self._length, self._policy]),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _groups(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _filled_up(rows: Tensor, size: int) -> Tensor:
    """`rows` with copies of the first one up to `size` rows.

    A matrix product sums in another order for another number of rows, so all batches have one size.
    """
    return torch.cat([rows, rows[:1].expand(size - len(rows), *rows.shape[1:])])


def _unit(vectors: Tensor) -> np.ndarray:
    """Rows of length 1, float32, on the CPU."""
    rows = vectors.float()
    rows = (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()
    if not np.isfinite(rows).all():
        raise ModelError(
            "the scorer gives vectors that are not finite; its weights are damaged, or its number "
            "type is too narrow: set dtype to float32"
        )
    return rows
