"""The settings of a run, from presets, YAML files and `--set`.

Each stage defines its own settings; `Settings` combines them. `layers` merges a preset, a file and
`--set`, and raises one-line errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from pairaug.config.layers import (
    Layer,
    flatten,
    load_model,
    override_layers,
    quoted,
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
from pairaug.record import check_run_format
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
    """All settings of a run, one section per stage."""

    preset: Literal["paper", "default", "fast", "demo"] = Field(
        "default", description="Preset that gives the values of settings not set here."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Random seed of the run.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Device the models run on; auto uses CUDA if available, else the CPU.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="The models' number type; auto is bfloat16 on CUDA and float32 elsewhere.",
    )
    compile: bool = Field(
        False,
        description="Compile the generator's denoiser. Compiling takes minutes in every process "
        "and pays off in long runs on GPUs.",
    )
    part_size: int = Field(
        256,
        ge=1,
        description="Real pairs per part. A run resumes at the first part that is missing.",
    )
    num_workers: int = Field(
        2,
        ge=1,
        le=256,
        description="Images decoded in parallel while reading; it does not change results.",
    )
    engine: Literal["local"] = Field(
        "local", description="Where the run is executed: on this machine."
    )
    limit: int | None = Field(None, ge=1, description="Read at most N real pairs.")
    read: ReadSettings = Field(description="Dataset of real pairs: its layout and its files.")
    rewrite: RewriteSettings = Field(
        default_factory=RewriteSettings,
        description="Rewriting of reports, for new patients and for changes of the same patient.",
    )
    generate: GenerateSettings = Field(
        default_factory=GenerateSettings, description="Generation of radiographs for new patients."
    )
    edit: EditSettings = Field(
        default_factory=EditSettings,
        description="Editing of real radiographs to match a changed report.",
    )
    score: ScoreSettings = Field(
        default_factory=ScoreSettings,
        description="Scoring of the agreement between image and report.",
    )
    prune: PruneSettings = Field(
        default_factory=PruneSettings,
        description="Rules that decide which synthetic pairs are kept.",
    )
    export: ExportSettings = Field(
        default_factory=ExportSettings, description="Export of the kept pairs for training."
    )
    summary: SummarySettings = Field(
        default_factory=SummarySettings, description="Contents of the HTML page about the run."
    )


def load_settings(
    path: Path | None = None, overrides: Sequence[str] = (), *, preset: str | None = None
) -> Settings:
    """Settings of a YAML file over those of its preset, with `overrides` ("a.b=c") on top."""
    layers = [] if path is None else [Layer(str(path), read_yaml(path))]
    try:
        return _on_preset([*layers, *override_layers(overrides)], preset)
    except SettingsError:
        # A run of an earlier PairAug may have settings under other names: its layout comes first.
        if path is not None:
            check_run_format(path.parent)
        raise


def settings_of(values: Mapping[str, Any], name: str) -> Settings:
    """Settings of a mapping over those of its preset; `name` is its name in errors."""
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
