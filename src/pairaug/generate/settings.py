"""The settings of `generate`, and its drop reasons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pairaug.candidates.settings import CandidateSettings
from pairaug.diffusion.prompts import LongReport

DROP_REASONS = {
    "empty_report": "no text of the report is left for the prompt",
    "report_too_long": "the report exceeds the text encoder's window, and `long_report` is `error`",
    "image_not_finite": "the generated image contains NaN or infinity",
    "image_constant": "the generated image has one grey level only",
    "image_saturated": "nearly all pixels of the generated image are pure black or white",
}


class GenerateSettings(CandidateSettings):
    """Model and sampling of the inter branch."""

    num_inference_steps: int = Field(
        default=50, ge=1, description="Denoising steps. 50 in the authors' InterAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Guidance scale: weight of the report over the empty text; 1 turns guidance "
        "off and takes half the time. 4 in the authors' InterAug_Step2_T2I.py.",
    )
    scheduler: Literal["default", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="default",
        description="Solver; `default` is the model's own, as in the authors' code.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="Handling of a report longer than the text encoder's window: `shorten` leaves "
        "out sentences that only deny findings, then sentences from the end; `chunk` "
        "encodes it in several windows; `error` drops the pair.",
    )
    batch_size: int = Field(default=8, ge=1, description="Images generated at once.")
