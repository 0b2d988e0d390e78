"""Settings from several places, one on top of the other, into one checked pydantic model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pairaug.config.explain import explain, quoted
from pairaug.config.introspect import discriminators, kinds_inside, may_be_null
from pairaug.config.yaml_text import MAX_DEPTH, parse_settings, read_settings_text
from pairaug.errors import SettingsError

_LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place, with the name under which errors speak of it."""

    name: str
    values: Mapping[str, Any]


def load_model(model: type[Model], path: Path | None, overrides: Sequence[str] = ()) -> Model:
    """A model's settings from a YAML file, or from nothing, with `overrides` ("a.b=c") on top."""
    layers = [Layer("the defaults", {}) if path is None else Layer(str(path), read_yaml(path))]
    return validate(model, [*layers, *override_layers(overrides)])


def validate(model: type[Model], layers: Sequence[Layer]) -> Model:
    """The settings that the layers add up to, later ones on top, with absolute paths.

    Raises `SettingsError` with one line on the first thing that is wrong.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer.values, [model])
    try:
        settings = model.model_validate(merged)
        return model.model_validate(_with_absolute_paths(settings.model_dump()))
    except ValidationError as error:
        raise SettingsError(explain(error, model, layers)) from error


def override_layers(overrides: Sequence[str]) -> list[Layer]:
    """One layer of all "a.b=c" of the command line: their order is only that of repeated names."""
    together: dict[str, Any] = {}
    for text in overrides:
        together = _merge(together, _parse_override(text), [])
    return [Layer("--set", together)] if together else []


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file."""
    values = parse_settings(read_settings_text(path), str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold settings as `name: value` lines")
    return values


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a list is one value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def _parse_override(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(key and key.isprintable() for key in keys) or len(keys) > MAX_DEPTH:
        raise SettingsError(
            f"--set takes name=value, for example --set seed=1; got {quoted(name.strip())}"
        )
    nested = parse_settings(value, f"the value of --set {name.strip()}")
    for key in reversed(keys):
        nested = {key: nested}
    return nested


def _merge(
    below: Mapping[str, Any], above: Mapping[str, Any], kinds: Sequence[type[BaseModel]]
) -> dict[str, Any]:
    """`above` on top of `below`, where `kinds` are the models that they may be settings of.

    Where `above` chooses another of several kinds, what `below` said of the first is forgotten.
    """
    chosen = discriminators(kinds) & above.keys() & below.keys()
    if any(above[key] != below[key] for key in chosen):
        below = {}
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        inner = kinds_inside(kinds, key)
        if value is None and inner and not may_be_null(kinds, key):
            continue  # a section's name with nothing under it
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(under, value, inner)
        else:
            merged[key] = value
    return merged


def _with_absolute_paths(value: Any) -> Any:
    """Paths made absolute, and models that are local folders with them: a hub id stays as it is."""
    if isinstance(value, Path):
        return _absolute(value)
    if isinstance(value, list | tuple):
        return type(value)(_with_absolute_paths(each) for each in value)
    if not isinstance(value, Mapping):
        return value
    inner = {key: _with_absolute_paths(each) for key, each in value.items()}
    # A model with a revision may be a folder; one without is a name on some server.
    model = inner.get("model")
    if "revision" in inner and isinstance(model, str) and model != "bundled":
        folder = _absolute(Path(model))
        inner["model"] = str(folder) if os.path.isdir(folder) else model  # noqa: PTH112
    return inner


def _absolute(path: Path) -> Path:
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise SettingsError(f"{quoted(str(path))} is too long to be a path")
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"{quoted(str(path))}: there is no such user's folder") from error
