"""The settings that every trainer has: when it ends, and how it steps. No tensor library."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairaug.settings import StageSettings

# Settings that a resumed training may change: when it ends, and how it reports and computes.
FREE = frozenset({
    "max_steps", "max_minutes", "checkpoint_minutes", "evaluate_minutes", "evaluate_steps",
    "log_steps", "device", "num_threads", "epochs", "cache", "num_workers", "log_to", "streamed",
    "patience",
})  # fmt: skip


class LoopSettings(StageSettings):
    """When a training ends, and how it steps."""

    seed: int = Field(default=0, ge=0, description="All samples follow from it and the step.")
    device: str = Field(
        default="auto", description="auto, cpu, cuda or mps; auto takes CUDA where it is."
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="CPU threads; PyTorch's choice if null."
    )
    batch_size: int = Field(default=64, ge=1, description="Pairs in one step.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Its peak, after the warm-up.")
    warmup_steps: int = Field(default=200, ge=0, description="Steps over which it rises.")
    weight_decay: float = Field(default=0.01, ge=0, description="Decoupled weight decay (AdamW).")
    max_steps: int | None = Field(default=None, ge=1, description="End after so many steps.")
    max_minutes: float | None = Field(
        default=None, gt=0, description="End after so many minutes of training."
    )
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights."
    )
    gradient_clip: float | None = Field(
        default=1.0, gt=0, description="Largest norm of the gradient; null: no bound."
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="Whether the learning rate falls, after the warm-up."
    )
    checkpoint_minutes: float = Field(default=3.0, ge=0, description="Minutes between checkpoints.")
    evaluate_minutes: float = Field(
        default=5.0, ge=0, description="Minutes between validation metrics."
    )
    evaluate_steps: int | None = Field(
        default=None, ge=1, description="Steps between validation metrics, instead of minutes."
    )
    log_steps: int = Field(default=100, ge=1, description="Steps between two lines of the curves.")

    @model_validator(mode="after")
    def _has_an_end(self) -> LoopSettings:
        if self.max_steps is None and self.max_minutes is None:
            raise ValueError(
                "set max_steps or max_minutes: the learning rate falls towards the end"
            )
        return self
