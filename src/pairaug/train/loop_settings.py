"""Settings shared by all trainers: limits, optimizer, devices. No tensor library."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pairaug.settings import StageSettings

# Settings that a resumed training may change: limits, reporting and computation.
FREE = frozenset({
    "max_steps", "max_minutes", "checkpoint_minutes", "evaluate_minutes", "evaluate_steps",
    "log_steps", "device", "num_threads", "epochs", "cache", "num_workers", "log_to", "streamed",
    "patience",
})  # fmt: skip


class LoopSettings(StageSettings):
    """Limits, optimizer and devices of a training."""

    seed: int = Field(default=0, ge=0, description="Random seed; each step derives its own.")
    device: str = Field(
        default="auto", description="auto, cpu, cuda or mps; auto selects CUDA if available."
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="CPU threads; null: PyTorch's default."
    )
    batch_size: int = Field(default=64, ge=1, description="Pairs per step.")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Peak learning rate, after the warm-up."
    )
    warmup_steps: int = Field(default=200, ge=0, description="Steps of linear warm-up.")
    weight_decay: float = Field(default=0.01, ge=0, description="Decoupled weight decay (AdamW).")
    max_steps: int | None = Field(default=None, ge=1, description="Optimizer steps.")
    max_minutes: float | None = Field(
        default=None, gt=0, description="Stop after this many minutes of training."
    )
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="Decay of the weight average.")
    gradient_clip: float | None = Field(
        default=1.0, gt=0, description="Largest norm of the gradient; null: not clipped."
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="Learning rate after the warm-up: cosine decay, or constant."
    )
    checkpoint_minutes: float = Field(default=3.0, ge=0, description="Minutes between checkpoints.")
    evaluate_minutes: float = Field(default=5.0, ge=0, description="Minutes between validations.")
    evaluate_steps: int | None = Field(
        default=None, ge=1, description="Steps between validations, in place of minutes."
    )
    log_steps: int = Field(default=100, ge=1, description="Steps between two lines of the curves.")

    @model_validator(mode="after")
    def _has_an_end(self) -> LoopSettings:
        if self.max_steps is None and self.max_minutes is None:
            raise ValueError(
                "set max_steps or max_minutes: the schedule of the learning rate needs an end"
            )
        return self
