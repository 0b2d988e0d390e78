"""The settings of `pairaug train clip`, and presets for settings that a file leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pairaug.imaging.io import Fit
from pairaug.train.clip.mixing import MixSettings
from pairaug.train.clip.sources import PairSource
from pairaug.train.image_dataset import ImageDatasetSettings
from pairaug.train.loop_settings import LoopSettings

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "scorer": {"max_minutes": 40.0},
    "tiny": {
        "architecture": "resnet",
        "image_size": 64,
        "tokenizer": "bundled",
        "text_hidden_size": 64,
        "text_num_layers": 2,
        "text_num_heads": 2,
        "weight_decay": 0.3,
        "augmentation": 1.5,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "warmup_steps": 50,
        "max_steps": 500,
        "ema_decay": 0.99,
        "precision": "float32",
        "save_dtype": "float32",
    },
    # Tiu et al. 2022 and their released run_train.py; batch and rate from their checkpoints' names.
    "chexzero": {
        "image_size": 224,
        "patch_size": 32,
        "vision_hidden_size": 768,
        "vision_num_layers": 12,
        "vision_num_heads": 12,
        "text_hidden_size": 512,
        "text_num_layers": 12,
        "text_num_heads": 8,
        "projection_size": 512,
        "fit": "pad",
        "image_mean": 101.48761 / 255,
        "image_std": 83.43944 / 255,
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "gradient_clip": None,
        "ema_decay": 0.0,
        "batch_size": 64,
        "epochs": 4,
        "augmentation": 0.0,
        "save_dtype": "float32",
    },
}
"""Values of each preset; the other settings have their defaults."""


class ClipSettings(LoopSettings):
    """Settings of a CLIP model and its training."""

    preset: Literal["scorer", "tiny", "chexzero"] = Field(
        default="scorer",
        description="Named set of default values: `chexzero` is the paper's recipe, `tiny` a small "
        "model for images of 64 pixels, `scorer` that of the bundled scorer.",
    )
    sources: tuple[PairSource, ...] = Field(
        default=(), description="Runs, exports and datasets to train on; if empty, `data` is used."
    )
    validation: tuple[PairSource, ...] | None = Field(
        default=None,
        description="Sources of validation pairs, each with its split; null: the real pairs of "
        "`sources` whose split is `validation`.",
    )
    max_validation_pairs: int = Field(
        default=1000,
        ge=0,
        description="Largest number of validation pairs; 0: no validation.",
    )
    mixing: MixSettings = Field(
        default_factory=MixSettings, description="Mixing of real and synthetic pairs."
    )
    sections: Literal["both", "impression", "findings"] = Field(
        default="both",
        description="Sections of a report in its caption; where the chosen one is empty, the "
        "other.",
    )
    data: ImageDatasetSettings = Field(
        default_factory=ImageDatasetSettings,
        description="Pairs to train on if there are no `sources`.",
    )
    image_size: int | None = Field(
        default=None,
        ge=16,
        description="Side of the images in pixels; null: that of `init` or of `data`.",
    )
    fit: Fit = Field(
        default="crop",
        description="Fit of images that are not square: `crop` keeps the middle, `pad` adds black.",
    )
    cache: Path | None = Field(
        default=None,
        description="Folder of the decoded images, to share between trainings; null: `cache` in "
        "the output folder.",
    )
    streamed: bool = Field(
        default=False,
        description="Decode images at each use instead of once, for datasets that do not fit on "
        "the disk at one byte per pixel.",
    )
    num_workers: int = Field(default=2, ge=1, description="Threads that decode images in advance.")

    init: Path | None = Field(
        default=None,
        description="Model to start from: `bundled`, a CLIP, SigLIP or two-tower folder, or "
        "OpenAI's CLIP as a file or folder under its original names; null: new "
        "weights.",
    )
    config: Path | None = Field(
        default=None,
        description="Folder whose config.json describes a CLIP, SigLIP or two-tower model, or "
        "`bundled`; its weights are new.",
    )
    allow_pickle: bool = Field(
        default=False, description="Load pickled weights for `init`; they can run code."
    )
    tokenizer: Path | Literal["bundled"] | None = Field(
        default=None,
        description="Folder of a trained tokenizer, or `bundled`; null: that of `init`, else a new "
        "one is trained.",
    )
    image_encoder: Path | None = Field(
        default=None,
        description="Folder of a trained MobileNet classifier. Its tower becomes the image encoder "
        "and is frozen, so that few pairs suffice for the report encoder.",
    )
    architecture: Literal["vit", "resnet"] = Field(
        default="vit",
        description="Image tower of a new model; a small ResNet learns in few steps.",
    )
    hidden_sizes: tuple[int, ...] = Field(
        default=(32, 64, 128), min_length=1, description="Channels of each stage of a ResNet."
    )
    depth: int = Field(default=1, ge=1, description="Residual layers of each stage of a ResNet.")
    patch_size: int = Field(default=16, ge=1, description="Side of a patch in pixels.")
    vision_hidden_size: int = Field(default=192, ge=1, description="Width of the image encoder.")
    vision_num_layers: int = Field(default=6, ge=1, description="Layers of the image encoder.")
    vision_num_heads: int = Field(
        default=6, ge=1, description="Attention heads of the image encoder."
    )
    text_hidden_size: int = Field(default=192, ge=1, description="Width of the text encoder.")
    text_num_layers: int = Field(default=4, ge=1, description="Layers of the text encoder.")
    text_num_heads: int = Field(default=6, ge=1, description="Attention heads of the text encoder.")
    projection_size: int = Field(default=128, ge=1, description="Length of the embeddings.")
    image_mean: float = Field(
        default=0.5, ge=0, le=1, description="Mean subtracted from images in [0, 1]."
    )
    image_std: float = Field(
        default=0.25, gt=0, description="Standard deviation that images are divided by."
    )

    loss: Literal["auto", "contrastive", "sigmoid"] = Field(
        default="auto",
        description="InfoNCE in both directions, or SigLIP's sigmoid loss; auto: the loss of the "
        "model.",
    )
    max_logit_scale: float = Field(
        default=100.0, ge=1, description="Upper bound of the logit scale; 100 is CLIP's."
    )
    batch_size: int = Field(
        default=128,
        ge=2,
        description="Pairs per step over all processes, each a negative of the others.",
    )
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Pairs per forward pass on one process; the batch is processed in pieces with "
        "the same gradients. Null: the whole batch at once.",
    )
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="Optimizer.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of `sgd`.")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Peak learning rate, after the warm-up."
    )
    weight_decay: float = Field(default=0.1, ge=0, description="Decoupled weight decay.")
    epochs: float | None = Field(
        default=None, gt=0, description="Passes over all pairs, if `max_steps` is not set."
    )
    max_minutes: float | None = Field(
        default=None, gt=0, description="Stop after this many minutes of training."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Number type of the towers' products; auto is bfloat16 on CUDA and on CPUs "
        "that multiply it natively. Weights and loss stay in float32.",
    )
    augmentation: float = Field(
        default=1.0, ge=0, description="Strength of image augmentation; 0 disables it."
    )
    best_by: Literal["loss", "auroc", "recall_at_1"] | None = Field(
        default=None,
        description="Save the weights with the best value of this validation metric; null: the "
        "last weights.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after this many validations in a row without improvement; needs "
        "`best_by`.",
    )
    save_dtype: Literal["float32", "float16"] = Field(
        default="float16", description="Number type of the saved weights."
    )
    log_to: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        default=(), description="Loggers of the curves besides the CSV files."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = PRESETS.get(values.get("preset", "scorer"), {})
        below = dict(preset)
        if values.get("max_steps") or values.get("epochs") or values.get("max_minutes"):
            # A limit in the settings replaces those of the preset.
            ends = ("max_steps", "epochs", "max_minutes")
            below = {name: value for name, value in below.items() if name not in ends}
        return {**below, **values}

    @model_validator(mode="after")
    def _has_an_end(self) -> ClipSettings:
        if self.max_steps is None and self.max_minutes is None and self.epochs is None:
            raise ValueError("set max_steps, epochs or max_minutes: a training needs an end")
        return self

    @model_validator(mode="after")
    def _goes_together(self) -> ClipSettings:
        if self.patience is not None and self.best_by is None:
            raise ValueError("patience needs best_by, the validation metric to watch")
        given = [name for name in ("init", "config", "image_encoder") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: set one")
        is_timed = self.max_steps is None and self.epochs is None
        if self.mixing.order == "synthetic-first" and is_timed:
            raise ValueError("mixing.order synthetic-first needs max_steps or epochs")
        return self
