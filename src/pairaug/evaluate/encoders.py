"""Settings shared by evaluations of encoders: model, device and the record of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pairaug.bundled import BUNDLED
from pairaug.evaluate.models import resolve_device
from pairaug.settings import StageSettings

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder


class EncoderEvaluation(StageSettings):
    """Settings of every evaluation of encoders."""

    allow_pickle: bool = Field(
        False,
        description="Load pickled weights if there are no others; they can run code.",
    )
    batch_size: int = Field(32, ge=1, description="Images or captions encoded at once.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Device of the models."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number type of the models."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Random seed.")
    num_resamples: int = Field(
        1000, ge=100, description="Bootstrap resamples of patients behind each interval."
    )


MODEL = Field(
    BUNDLED,
    min_length=1,
    description="`bundled`, or a CLIP, SigLIP, MedCLIP or CheXzero model: a folder or a hub id.",
)
CACHE = Field(
    None,
    description="Folder that caches image vectors, to evaluate again without the images. Empty it "
    "if images change under the same names.",
)


def open_scorer(model: str, settings: EncoderEvaluation) -> Encoder:
    """The encoder of the settings."""
    from pairaug.clip.encoders import open_encoder
    from pairaug.clip.folder import scorer_folder

    return open_encoder(
        scorer_folder(model, allow_pickle=settings.allow_pickle),
        device=resolve_device(settings.device),
        dtype=settings.dtype,
        batch_size=settings.batch_size,
        allow_pickle=settings.allow_pickle,
    )


def encoder_record(model: str, encoder: Encoder) -> dict[str, Any]:
    """Record of an encoder for reproduction: its name, and hashes of weights and settings."""
    name = model if model == BUNDLED or not Path(model).is_dir() else Path(model).name
    return {
        "model": name,
        "weights_sha256": encoder.weights_sha256,
        "transform_and_tokenizer_sha256": encoder.fingerprint,
    }
