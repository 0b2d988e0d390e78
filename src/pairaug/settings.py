"""The base of every stage's settings."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

ONE_TAG, LIST_TAG = "{}", "[]"
"""Pydantic's tags of a setting that is one section, or a list of such sections."""


def list_or_one(value: Any) -> str:
    """The tag of a value of such a setting."""
    return LIST_TAG if isinstance(value, list | tuple) else ONE_TAG


class StageSettings(BaseModel):
    """Frozen settings that validate themselves; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _reject_bool_as_number(cls, values: Any) -> Any:
        """Rejects `true` for a number, which pydantic would take as 1."""
        for name, value in values.items() if isinstance(values, dict) else ():
            kinds = _kinds_in(cls.model_fields[name].annotation) if name in cls.model_fields else ()
            if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
                raise ValueError(f"{name} should be a number, not {str(value).lower()}")
        return values


def _kinds_in(annotation: Any) -> set[Any]:
    return {annotation}.union(*(_kinds_in(inner) for inner in get_args(annotation)))


class PretrainedModel(StageSettings):
    """Settings of a pretrained model: its location, and trust in its files."""

    model: str = Field(default="bundled", min_length=1)
    revision: str | None = Field(default=None, description="Commit, tag or branch of a hub id.")
    allow_pickle: bool = Field(
        default=False,
        description="Load pickled weights, which can run code, if there are no others.",
    )


class GeneratorModel(PretrainedModel):
    """A latent diffusion model."""

    model: str = Field(
        default="bundled",
        min_length=1,
        description="`bundled`, or a latent diffusion model in diffusers layout: a local folder "
        "or a hub id. The paper's is RoentGen.",
    )
