"""The base of every stage's settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StageSettings(BaseModel):
    """Frozen settings that validate themselves; a key that they do not know is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


class PretrainedModel(StageSettings):
    """The settings of whatever loads a model: where it is, and how far its files are trusted."""

    model: str = Field(default="bundled", min_length=1)
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    allow_pickle: bool = Field(
        default=False,
        description="Load pickled weights, which can run code, where there are no others.",
    )


class GeneratorModel(PretrainedModel):
    """A latent diffusion model."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a latent diffusion model in diffusers layout: a local folder "
        "or a hub id. The paper's is RoentGen.",
    )
