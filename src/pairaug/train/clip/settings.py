"""The settings of `pairaug train clip`, and the presets that fill in what a file leaves out."""

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
"""What each preset sets; everything else has its default."""


class ClipSettings(LoopSettings):
    """How the CLIP model is built and trained."""

    preset: Literal["scorer", "tiny", "chexzero"] = Field(
        default="scorer",
        description="The values that hold where nothing else is said: `chexzero` is the paper's "
        "recipe, `tiny` a small model for images of 64 pixels, `scorer` the bundled scorer's.",
    )
    sources: tuple[PairSource, ...] = Field(
        default=(), description="Runs, exports and datasets to train on; `data` if there is none."
    )
    validation: tuple[PairSource, ...] | None = Field(
        default=None,
        description="Where validation pairs come from; null: the real pairs of `sources` whose split "
        "is `validation`. Entries given here say their split.",
    )
    max_validation_pairs: int = Field(
        default=1000,
        ge=0,
        description="At most so many validation pairs; 0: no validation metrics.",
    )
    mixing: MixSettings = Field(
        default_factory=MixSettings, description="How real and synthetic pairs share the steps."
    )
    sections: Literal["both", "impression", "findings"] = Field(
        default="both",
        description="Sections of a report that are its caption; where the one is empty, the other.",
    )
    data: ImageDatasetSettings = Field(
        default_factory=ImageDatasetSettings,
        description="Which pairs, where there are no `sources`.",
    )
    image_size: int | None = Field(
        default=None, ge=16, description="Pixels a side; that of `init` or of `data` if null."
    )
    fit: Fit = Field(
        default="crop",
        description="Images that are not square: the middle (`crop`), or all on black (`pad`).",
    )
    cache: Path | None = Field(
        default=None,
        description="Folder of the decoded images, to share between trainings; `cache` in the "
        "output folder unless said.",
    )
    streamed: bool = Field(
        default=False,
        description="Decode images at each use instead of once: for sets whose images, a byte a "
        "pixel, do not fit on the disk.",
    )
    num_workers: int = Field(
        default=2, ge=1, description="Threads that decode images ahead of the steps."
    )

    init: Path | None = Field(
        default=None,
        description="Where the weights start: `bundled`, a CLIP, SigLIP or two-tower folder, or "
        "OpenAI's CLIP as a file or folder in its own names; new weights if null.",
    )
    config: Path | None = Field(
        default=None,
        description="A folder whose config.json describes a CLIP, SigLIP or two-tower model, or "
        "`bundled`, for new weights.",
    )
    allow_pickle: bool = Field(
        default=False, description="Load pickled weights, which can run code, for `init`."
    )
    tokenizer: Path | Literal["bundled"] | None = Field(
        default=None,
        description="Folder of a trained tokenizer to share, or `bundled`; null: that of `init`, "
        "else a new one is trained.",
    )
    image_encoder: Path | None = Field(
        default=None,
        description="Folder of a trained MobileNet classifier. Its tower becomes the image encoder "
        "and is left as it is, so that few pairs suffice for the report encoder.",
    )
    architecture: Literal["vit", "resnet"] = Field(
        default="vit",
        description="A new model's image tower; a small ResNet learns from few steps.",
    )
    hidden_sizes: tuple[int, ...] = Field(
        default=(32, 64, 128), min_length=1, description="Channels of each stage of a ResNet."
    )
    depth: int = Field(default=1, ge=1, description="Residual layers of each stage of a ResNet.")
    patch_size: int = Field(default=16, ge=1, description="Pixels of one patch, a side.")
    vision_hidden_size: int = Field(default=192, ge=1, description="Width of the image encoder.")
    vision_num_layers: int = Field(default=6, ge=1, description="Layers of the image encoder.")
    vision_num_heads: int = Field(
        default=6, ge=1, description="Attention heads of the image encoder."
    )
    text_hidden_size: int = Field(default=192, ge=1, description="Width of the text encoder.")
    text_num_layers: int = Field(default=4, ge=1, description="Layers of the text encoder.")
    text_num_heads: int = Field(default=6, ge=1, description="Attention heads of the text encoder.")
    projection_size: int = Field(default=128, ge=1, description="Length of the embeddings.")
    image_mean: float = Field(default=0.5, ge=0, le=1, description="Taken off an image in 0 to 1.")
    image_std: float = Field(default=0.25, gt=0, description="What it is then divided by.")

    loss: Literal["auto", "contrastive", "sigmoid"] = Field(
        default="auto",
        description="InfoNCE both ways, or SigLIP's sigmoid loss; auto: as the model was made.",
    )
    max_logit_scale: float = Field(
        default=100.0, ge=1, description="Bound of what cosines are multiplied by, CLIP's own."
    )
    batch_size: int = Field(
        default=128,
        ge=2,
        description="Pairs in one step over all processes, each a negative of the rest.",
    )
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Pairs that go through the towers at once on one process; the batch is worked "
        "on piece by piece to the same gradients. Null: all at once.",
    )
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="What takes the steps.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of `sgd`.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Its peak, after the warm-up.")
    weight_decay: float = Field(default=0.1, ge=0, description="Decoupled weight decay.")
    epochs: float | None = Field(
        default=None, gt=0, description="Passes over all pairs, where `max_steps` is not set."
    )
    max_minutes: float | None = Field(
        default=None, gt=0, description="End after so many minutes of training."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Number type of the towers' products; auto is bfloat16 on CUDA and on CPUs "
        "that multiply it natively. Weights and loss are float32 always.",
    )
    augmentation: float = Field(
        default=1.0, ge=0, description="Strength of the changes to the images."
    )
    best_by: Literal["loss", "auroc", "recall_at_1"] | None = Field(
        default=None,
        description="Save the weights under which this validation metric was best; null: the last.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="End after so many validation metrics in a row without a better one; needs "
        "`best_by`.",
    )
    save_dtype: Literal["float32", "float16"] = Field(
        default="float16", description="Number type of the saved weights."
    )
    log_to: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        default=(), description="Where curves go beside the CSV files."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = PRESETS.get(values.get("preset", "scorer"), {})
        below = dict(preset)
        if values.get("max_steps") or values.get("epochs") or values.get("max_minutes"):
            # Whoever says when to end is not held to the preset's end as well.
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
            raise ValueError("patience needs best_by, the validation metric that it waits for")
        given = [name for name in ("init", "config", "image_encoder") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: set one")
        is_timed = self.max_steps is None and self.epochs is None
        if self.mixing.order == "synthetic-first" and is_timed:
            raise ValueError("mixing.order synthetic-first needs max_steps or epochs")
        return self
