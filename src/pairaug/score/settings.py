"""Which models score, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pairaug.clip.folder import IMAGE_ONLY_KINDS, model_type, scorer_folder
from pairaug.clip.window import WindowPolicy
from pairaug.errors import ModelError
from pairaug.settings import PretrainedModel


class AuditSettings(PretrainedModel):
    """A second scorer, whose cosines are noted beside the first one's and prune nothing."""

    model: str = Field(
        min_length=1,
        description="`bundled`, a local folder or a hub id; a model of images alone, such as "
        "RAD-DINO, judges `image_image` only.",
    )


class ScoreSettings(PretrainedModel):
    """Which model scores, and how."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a CLIP, SigLIP, MedCLIP or CheXzero model: a local folder or a "
        "hub id. The paper's is MedCLIP.",
    )
    batch_size: int = Field(
        default=16, ge=1, description="Images, and windows of text, encoded at once."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="The encoders' number type; auto is the run's `dtype`. bfloat16 encodes about "
        "three times as fast with large models on CPUs that have its instructions, which "
        "`pairaug doctor` tells, and moves cosines by up to a hundredth.",
    )
    long_report: WindowPolicy = Field(
        default="average",
        description="A report beyond the text encoder's window: `average` encodes it in windows "
        "of whole sentences, `truncate` keeps what fits.",
    )
    audit: AuditSettings | None = Field(
        default=None,
        description="A second scorer, so that pruning by one model can be judged by another.",
    )


def folder_of(settings: ScoreSettings | AuditSettings) -> Path:
    """Where a scorer's files are; `ModelError` where they are not, or cannot do its work."""
    found = scorer_folder(settings.model, settings.revision, settings.allow_pickle)
    if isinstance(settings, ScoreSettings) and model_type(found) in IMAGE_ONLY_KINDS:
        raise ModelError(
            f"score.model {settings.model} encodes images only, so it cannot tell whether image and "
            "report agree. Name it as score.audit.model, and a model of both as score.model."
        )
    return found
