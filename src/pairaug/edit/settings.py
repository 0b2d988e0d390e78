"""The settings and drop reasons of `edit`."""

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
    """Bounds that a candidate of an edit is accepted by: the paper's three scores."""

    image_image: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Lower bound of the edited image's similarity to its source, S2.",
    )
    directional: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Lower bound of the similarity of the changes in image and report, S3.",
    )


class EditSettings(CandidateSettings):
    """The editing model, the source of an edit, and how much of the source's attention is kept."""

    method: Literal["invert", "regenerate"] = Field(
        default="invert",
        description="`invert` edits the real image, inverted by DDIM; `regenerate` generates the "
        "source from its report, as the paper does, and keeps nothing of the real image.",
    )
    num_inference_steps: int = Field(
        default=75, ge=1, description="Denoising steps. 75 in the authors' IntraAug_Step2_T2I.py."
    )
    guidance_scale: float = Field(
        default=4.0,
        ge=1.0,
        description="Weight of the changed report over `negative_prompt`; 1 turns guidance off. "
        "4 in the authors' IntraAug_Step2_T2I.py.",
    )
    negative_prompt: Literal["empty", "source"] = Field(
        default="empty",
        description="Guidance leads away from this text: `empty` is the empty text, `source` the "
        "source's report. `source` needs `method: invert`.",
    )
    correct_drift: bool = Field(
        default=True,
        description="Add the source's reconstruction error to the edit at every step, so that an "
        "unchanged report reproduces the input at any guidance scale. No effect with `method: "
        "regenerate`.",
    )
    scheduler: Literal["default", "ddim", "dpm++2m", "unipc", "pndm"] = Field(
        default="default",
        description="The solver of `method: regenerate`; `default` is the model's own. Inverted "
        "images are always edited by DDIM.",
    )
    alignment: Literal["refine", "replace"] = Field(
        default="refine",
        description="`refine`: tokens shared by both reports reuse the source's cross-attention "
        "maps; new tokens keep their own (the authors' AttentionRefine). `replace`: replaced "
        "tokens also reuse the maps of the tokens they replace.",
    )
    local_blend: Literal["none", "difference"] = Field(
        default="none",
        description="`difference` changes only the region where the model's predictions differ "
        "between the two reports, and keeps the source's latents outside; `none` lets the whole "
        "image change.",
    )
    blend_threshold: float = Field(
        default=0.35,
        gt=0.0,
        lt=1.0,
        description="Border of the region of `local_blend`, as a fraction of the image's largest "
        "difference. A lower value lets more of the image change.",
    )
    cross_replace_steps: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Fraction of the steps, from the first, that use the source's cross-attention "
        "maps; the paper's eta. 0.5 in the authors' IntraAug_Step2_T2I.py.",
    )
    self_replace_steps: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Fraction of the steps, from the first, that use the source's self-attention "
        "maps. A higher value keeps more of the layout. 0.2 in the authors' "
        "IntraAug_Step2_T2I.py.",
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
        description="Candidates per changed report; with `keep: first-accepted`, the most that "
        "are generated. The authors generate 10.",
    )
    accept: AcceptEditSettings = Field(
        default_factory=AcceptEditSettings,
        description="Scores and bounds that candidates are accepted by, unless `keep` is `all`.",
    )
    noise_strength: float = Field(
        default=0.3,
        gt=0.0,
        le=1.0,
        description="Fraction of noise, by variance, mixed into the inverted latents of every "
        "candidate after the first. The first has none.",
    )
    max_inversion_error: float | None = Field(
        default=None,
        gt=0.0,
        description="Drop the edits of an image whose reconstruction has a larger mean absolute "
        "error, on a scale of 0 to 1. Default: no limit.",
    )
    fit: Fit = Field(
        default="crop",
        description="Ways to make an image square: `crop` keeps the center, as latent diffusion "
        "models are trained; `pad` keeps the whole image, on black.",
    )
    long_report: LongReport = Field(
        default="shorten",
        description="For reports beyond the text encoder's window: `shorten` removes sentences "
        "that only deny findings, then sentences from the end; `chunk` encodes the whole report "
        "in several windows; `error` drops the pair. Sentences that both reports of an edit share "
        "are removed from both, before a sentence of only one.",
    )
    batch_size: int = Field(default=8, ge=1, description="Edits per batch.")

    @model_validator(mode="after")
    def _goes_together(self) -> EditSettings:
        if self.method == "invert" and self.scheduler not in ("default", "ddim"):
            raise ValueError(
                f"scheduler {self.scheduler} needs method: regenerate; inverted images are edited "
                "by ddim"
            )
        if self.method == "regenerate" and self.negative_prompt == "source":
            raise ValueError("negative_prompt: source needs method: invert")
        return self
