"""The settings of `edit`, and why it drops pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairaug.candidates.settings import AcceptSettings, CandidateSettings
from pairaug.diffusion.prompts import LongReport
from pairaug.imaging.io import Fit

DROP_REASONS = {
    "source_missing": "the real pair that it was made from is not in the run any more",
    "empty_report": "nothing of the report, or of the source's, is left to prompt with",
    "report_too_long": "the report, or the source's, exceeds the text encoder's window, and "
    "`long_report` is `error`",
    "missing_image": "the source's image is no longer on disk",
    "changed_image": "the source's image is no longer what it was when it was read",
    "unreadable_image": "the source's image could not be decoded, or never was there",
    "inversion_error": "the model cannot hold the source's image well enough",
    "image_not_finite": "the edit ended in NaN or infinity",
    "image_constant": "the edit ended in one grey level",
    "image_saturated": "nearly all of the edit is pure black or white",
}


class AcceptEditSettings(AcceptSettings):
    """What a candidate of an edit is judged by: the paper's three scores."""

    image_image: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="A candidate passes above it: image against image, S2.",
    )
    change: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="A candidate passes above it: direction of change, S3.",
    )


class EditSettings(CandidateSettings):
    """Which model edits, from what source, and how much of the source's attention it keeps."""

    source: Literal["invert", "regenerate"] = Field(
        default="invert",
        description="`invert` edits the real image, by way of its DDIM trajectory; `regenerate` "
        "generates the source anew from its report, as the paper does, and keeps nothing of the image.",
    )
    num_steps: int = Field(
        default=75, ge=1, description="Denoising steps. 75 in the authors' IntraAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Weight of the changed report; 1 is no guidance. 4 in the authors' "
        "IntraAug_Step2_T2I.py.",
    )
    guidance_from: Literal["empty", "source-report"] = Field(
        default="empty",
        description="What guidance pushes away from: the empty text, or, for inverted images, the "
        "source's report.",
    )
    drift: bool = Field(
        default=True,
        description="Add to the edit what the guided steps miss on the inverted source, so that "
        "an unchanged report returns the image at any guidance.",
    )
    scheduler: Literal["folder", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="folder",
        description="The solver of `regenerate`; `folder` takes the one that the model comes "
        "with. Inverted images always go by ddim.",
    )
    alignment: Literal["refine", "substitute", "blend"] = Field(
        default="refine",
        description="`refine`: shared words take the source's attention, new ones keep their own "
        "(the authors' AttentionRefine); `substitute`: replaced words take the attention of those "
        "that they replace; `blend`: `refine`, with the change kept where the two reports make a "
        "difference to the model, and the source's image everywhere else.",
    )
    blend_by: Literal["difference", "attention"] = Field(
        default="difference",
        description="Where that is: `difference`, where the model's predictions for the image "
        "differ under the two reports; `attention`, where it attends to the words that only one "
        "of the reports has.",
    )
    blend_threshold: float = Field(
        default=0.35,
        gt=0.0,
        lt=1.0,
        description="Where the region of `blend` ends, as a fraction of the image's largest "
        "difference or attention. Lower lets more of the image change.",
    )
    cross_replace: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Fraction of the steps in which cross-attention is the source's; the paper's "
        "eta. 0.5 in the authors' IntraAug_Step2_T2I.py.",
    )
    self_replace: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Fraction of the steps in which self-attention is the source's. 0.2 in the "
        "authors' IntraAug_Step2_T2I.py.",
    )
    self_max_positions: int = Field(
        default=256,
        ge=0,
        description="Self-attention over more positions is never swapped. 16 x 16 in the "
        "authors' ptp_utils.",
    )
    num_images: int = Field(
        default=1,
        ge=1,
        description="Images generated per changed report, or the most that are. The authors generate 10.",
    )
    accept: AcceptEditSettings = Field(
        default_factory=AcceptEditSettings,
        description="What candidates are judged by, unless all are kept.",
    )
    variation: float = Field(
        default=0.3,
        gt=0.0,
        le=1.0,
        description="Fraction of fresh noise, by variance, that a further candidate of an inverted edit "
        "starts with. The first candidate has none: it starts where the image's own trajectory does.",
    )
    max_inversion_error: float | None = Field(
        default=None,
        gt=0.0,
        description="Drop the edits of an image that the model regenerates worse than this: mean "
        "absolute difference on a scale of 0 to 1. Not set: none is dropped for it.",
    )
    fit: Fit = Field(
        default="crop",
        description="How an image becomes square: `crop` keeps the centre, as latent diffusion "
        "models are trained; `pad` keeps the whole image, on black.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="A report beyond the text encoder's window: `shorten` leaves out sentences "
        "that only deny findings, then sentences from the end; `chunk` encodes it whole, in "
        "several windows; `error` drops the pair. Of an edit's two reports, sentences that stand "
        "in both are left out of both, before any that only one has.",
    )
    batch_size: int = Field(default=8, ge=1, description="Edits made at once.")

    @model_validator(mode="after")
    def _goes_together(self) -> EditSettings:
        if self.source == "invert" and self.scheduler not in ("folder", "ddim"):
            raise ValueError(
                f"scheduler {self.scheduler} needs source: regenerate; inverted images go by ddim"
            )
        if self.source == "regenerate" and self.guidance_from == "source-report":
            raise ValueError("guidance_from: source-report needs source: invert")
        return self
