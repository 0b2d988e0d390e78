"""The settings of a run, and of everything else that is given as a YAML file.

Each stage's settings are described beside the stage; here they are put together. `layers` merges a
preset, a file and `--set`; `explain` says in one line what is wrong with what a user wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from pairaug.config.explain import quoted
from pairaug.config.layers import (
    Layer,
    flatten,
    load_model,
    override_layers,
    read_yaml,
    validate,
)
from pairaug.config.yaml_text import as_yaml
from pairaug.edit import EditSettings
from pairaug.errors import SettingsError
from pairaug.export import ExportSettings
from pairaug.generate import GenerateSettings
from pairaug.prune import PruneSettings
from pairaug.readers import ReadSettings
from pairaug.rewrite import RewriteSettings
from pairaug.score import ScoreSettings
from pairaug.settings import StageSettings
from pairaug.summary import SummarySettings

__all__ = [
    "PRESETS",
    "Settings",
    "as_yaml",
    "change_settings",
    "flatten",
    "load_model",
    "load_settings",
    "settings_of",
]

PRESETS = ("paper", "default", "fast", "demo")


class Settings(StageSettings):
    """Everything that decides a run, stage by stage."""

    preset: Literal["paper", "default", "fast", "demo"] = Field(
        "default", description="The values that hold where nothing else is said."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Every pair's samples follow from it.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where the models run; auto takes CUDA where there is one, else the CPU.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="The models' number type; auto is bfloat16 on CUDA and float32 elsewhere.",
    )
    compile: bool = Field(
        False,
        description="Compile the generator's denoiser. It takes minutes once in every process, "
        "and pays on GPUs in long runs.",
    )
    part_size: int = Field(
        256, ge=1, description="Real pairs in one part, the unit of work and of resuming."
    )
    num_workers: int = Field(
        2,
        ge=1,
        le=256,
        description="Images decoded at once while reading; no result depends on it.",
    )
    engine: Literal["local"] = Field("local", description="Where parts are worked on.")
    limit: int | None = Field(None, ge=1, description="Read at most so many real pairs.")
    read: ReadSettings = Field(description="Where the real pairs come from.")
    rewrite: RewriteSettings = Field(
        default_factory=RewriteSettings, description="How reports are rewritten."
    )
    generate: GenerateSettings = Field(
        default_factory=GenerateSettings, description="How new patients' images are sampled."
    )
    edit: EditSettings = Field(
        default_factory=EditSettings, description="How a patient's image is changed."
    )
    score: ScoreSettings = Field(
        default_factory=ScoreSettings, description="What judges whether image and report agree."
    )
    prune: PruneSettings = Field(
        default_factory=PruneSettings, description="Which synthetic pairs are kept."
    )
    export: ExportSettings = Field(
        default_factory=ExportSettings, description="What is written for training."
    )
    summary: SummarySettings = Field(
        default_factory=SummarySettings, description="What the page about the run shows."
    )


def load_settings(
    path: Path | None = None, overrides: Sequence[str] = (), *, preset: str | None = None
) -> Settings:
    """The settings of a YAML file with `overrides` ("a.b=c") on top and its preset below."""
    layers = [] if path is None else [Layer(str(path), read_yaml(path))]
    return _on_preset([*layers, *override_layers(overrides)], preset)


def settings_of(values: Mapping[str, Any], name: str) -> Settings:
    """The settings in a mapping, with its preset below; errors speak of it by `name`."""
    return _on_preset([Layer(name, values)])


def _on_preset(layers: Sequence[Layer], preset: str | None = None) -> Settings:
    chosen = preset or _chosen_preset(layers)
    below = Layer(f"preset {chosen}", {**_preset_values(chosen), "preset": chosen})
    return validate(Settings, [below, *layers])


def change_settings(settings: Settings, overrides: Sequence[str]) -> Settings:
    """`settings` with `overrides` ("a.b=c") on top."""
    before = Layer("run.yaml", settings.model_dump(mode="json"))
    return validate(Settings, [before, *override_layers(overrides)])


def _chosen_preset(layers: Sequence[Layer]) -> str:
    for layer in reversed(layers):
        if "preset" in layer.values:
            preset = layer.values["preset"]
            if preset not in PRESETS:
                choices = ", ".join(PRESETS)
                raise SettingsError(
                    f"preset in {layer.name} is {quoted(preset)}; choose one of: {choices}"
                )
            return preset
    return "default"


def _preset_values(preset: str) -> dict[str, Any]:
    text = files("pairaug").joinpath("presets", f"{preset}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) or {}
