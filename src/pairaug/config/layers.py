"""Settings from several places, one on top of the other, into one checked pydantic model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pairaug.config.explain import explain
from pairaug.config.kinds import discriminators, kinds_inside, may_be_null
from pairaug.errors import SettingsError

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
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file {path}") from error
    except IsADirectoryError as error:
        raise SettingsError(f"{path} is a folder; give a settings file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {_yaml_problem(error)}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold settings as `name: value` lines")
    return values


def as_yaml(settings: BaseModel) -> str:
    """The settings as YAML text that reads back to the same."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a list is one value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not a silent choice."""


def _mapping_with_unique_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key} is given twice", key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:map", _mapping_with_unique_keys)


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def _parse_override(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise SettingsError(f"--set takes name=value, for example --set seed=1; got {text!r}")
    try:
        nested: Any = yaml.load(value, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        # Of what may hold a key or a password, the name is enough.
        shown = name.strip() if name.strip().startswith("rewrite.") else text
        raise SettingsError(
            f"--set {shown}: the value is not YAML: {_yaml_problem(error)}"
        ) from error
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
        return value.expanduser().absolute()
    if isinstance(value, list | tuple):
        return type(value)(_with_absolute_paths(each) for each in value)
    if not isinstance(value, Mapping):
        return value
    inner = {key: _with_absolute_paths(each) for key, each in value.items()}
    # A model with a revision may be a folder; one without is a name on some server.
    model = inner.get("model")
    if "revision" in inner and isinstance(model, str) and model != "bundled":
        folder = Path(model).expanduser()
        inner["model"] = str(folder.absolute()) if folder.is_dir() else model
    return inner
