"""The settings of `generate`, and why it drops pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pairaug.candidates.settings import CandidateSettings
from pairaug.diffusion.prompts import LongReport

DROP_REASONS = {
    "empty_report": "nothing of the report is left to generate from",
    "report_too_long": "the report exceeds the text encoder's window, and `long_report` is `error`",
    "image_not_finite": "the model drew NaN or infinity",
    "image_constant": "the model drew one grey level",
    "image_saturated": "nearly all of what the model drew is pure black or white",
}


class GenerateSettings(CandidateSettings):
    """Which model generates, and how."""

    num_inference_steps: int = Field(
        default=50, ge=1, description="Denoising steps. 50 in the authors' InterAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Weight of the report over the empty text; 1 turns guidance off and takes half "
        "the time. 4 in the authors' InterAug_Step2_T2I.py.",
    )
    scheduler: Literal["default", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="default",
        description="The solver; `default` is the model's own, as in the authors' code.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="A report beyond the text encoder's window: `shorten` leaves out sentences "
        "that only deny findings, then sentences from the end; `chunk` encodes it whole, in "
        "several windows; `error` drops the pair.",
    )
    batch_size: int = Field(default=8, ge=1, description="Images generated at once.")
