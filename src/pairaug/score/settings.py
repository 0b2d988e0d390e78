"""Settings of the scorer and of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pairaug.clip.folder import IMAGE_ONLY_KINDS, model_type, scorer_folder
from pairaug.clip.window import WindowPolicy
from pairaug.errors import ModelError
from pairaug.settings import PretrainedModel


class AuditSettings(PretrainedModel):
    """A second scorer. Its cosines are stored beside the first one's and do not affect pruning."""

    model: str = Field(
        min_length=1,
        description="`bundled`, a local folder or a hub id; an image-only model, such as "
        "RAD-DINO, gives `image_image` only.",
    )


class ScoreSettings(PretrainedModel):
    """The scoring model and how it is run."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a CLIP, SigLIP, MedCLIP or CheXzero model: a local folder or a "
        "hub id. The paper's is MedCLIP.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="Images, or windows of text, encoded at once."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Number type of the encoders; auto is the run's `dtype`. bfloat16 "
        "encodes about three times as fast with large models on CPUs with bfloat16 instructions "
        "(see `pairaug doctor`), and changes cosines by up to a hundredth.",
    )
    long_report: WindowPolicy = Field(
        default="average",
        description="Reports longer than the text encoder's window: `average` averages windows of "
        "whole sentences, `truncate` keeps what fits.",
    )
    audit: AuditSettings | None = Field(
        default=None,
        description="A second scorer, to check pruning by the first one; null: none.",
    )


def folder_of(settings: ScoreSettings | AuditSettings) -> Path:
    """The folder of a scorer; `ModelError` if it is missing or encodes images only."""
    found = scorer_folder(settings.model, settings.revision, settings.allow_pickle)
    if isinstance(settings, ScoreSettings) and model_type(found) in IMAGE_ONLY_KINDS:
        raise ModelError(
            f"score.model {settings.model} encodes images only, so it cannot compare an image with "
            "a report. Set it as score.audit.model, and an image-text model as score.model."
        )
    return found
