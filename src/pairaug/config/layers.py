"""Settings merged from preset, file and command line into one validated pydantic model.

Each error is one line: the setting, the file or option with it, and what would be valid.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pairaug.config.introspect import discriminators, kinds_inside, may_be_null, setting_names
from pairaug.config.yaml_text import MAX_DEPTH, parse_settings, read_settings_text
from pairaug.errors import SettingsError
from pairaug.settings import LIST_TAG, ONE_TAG

_LONGEST_NAME = 255
"""Bytes of the longest file name that file systems allow."""

_MAX_SHOWN = 100
"""Characters of a value that a message shows."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source, and its name in error messages."""

    name: str
    values: Mapping[str, Any]


def load_model(model: type[Model], path: Path | None, overrides: Sequence[str] = ()) -> Model:
    """Settings from a YAML file or the defaults, with `overrides` ("a.b=c") on top."""
    layers = [Layer("the defaults", {}) if path is None else Layer(str(path), read_yaml(path))]
    return validate(model, [*layers, *override_layers(overrides)])


def validate(model: type[Model], layers: Sequence[Layer]) -> Model:
    """Validated settings of the merged layers, later ones on top, with absolute paths.

    Raises `SettingsError` with one line about the first error.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer, [model])
    try:
        settings = model.model_validate(merged)
        return model.model_validate(_with_absolute_paths(settings.model_dump()))
    except ValidationError as error:
        raise SettingsError(_error_message(error, model, layers)) from error


def override_layers(overrides: Sequence[str]) -> list[Layer]:
    """One layer with all "a.b=c" of the command line; of a repeated name the last one holds."""
    together: dict[str, Any] = {}
    for text in overrides:
        together = _merge(together, Layer("--set", _parse_override(text)), [])
    return [Layer("--set", together)] if together else []


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file."""
    values = parse_settings(read_settings_text(path), str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} is not a settings file: it must have `name: value` lines")
    return values


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a list is one value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def quoted(value: Any) -> str:
    """A value for a message: on one line, cut if it is long."""
    text = _on_one_line(repr(value[:_MAX_SHOWN] if isinstance(value, str) else value))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


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
    below: Mapping[str, Any], layer: Layer, kinds: Sequence[type[BaseModel]], prefix: str = ""
) -> dict[str, Any]:
    """A layer on top of `below`; `kinds` are the models that these settings may belong to.

    If the layer chooses another kind than `below`, the settings in `below` are dropped. A list is
    replaced as a whole. `prefix` is the name of the section, as in "prune.".
    """
    above = layer.values
    chosen = discriminators(kinds) & above.keys() & below.keys()
    if any(above[key] != below[key] for key in chosen):
        below = {}
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        inner = kinds_inside(kinds, key)
        name = f"{prefix}{key}"
        if value is None and inner and not may_be_null(kinds, key):
            continue  # a section's name with nothing under it
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(under, Layer(layer.name, value), inner, f"{name}.")
        elif isinstance(under, list) and isinstance(value, Mapping) and _is_part(value, inner):
            raise SettingsError(
                f"{name}.{next(iter(value))} in {layer.name}: {name} is a list; give the whole "
                f"list, such as {name}=[{{…}}, {{…}}]"
            )
        else:
            merged[key] = value
    return merged


def _is_part(value: Mapping[str, Any], kinds: Sequence[type[BaseModel]]) -> bool:
    """True for a section that does not say of which kind it is, so it cannot replace a list."""
    return bool(value) and not discriminators(kinds) & value.keys()


def _with_absolute_paths(value: Any) -> Any:
    """`value` with absolute paths, also of models in local folders; hub ids stay as they are."""
    if isinstance(value, Path):
        return _absolute(value)
    if isinstance(value, list | tuple):
        return type(value)(_with_absolute_paths(each) for each in value)
    if not isinstance(value, Mapping):
        return value
    inner = {key: _with_absolute_paths(each) for key, each in value.items()}
    # A model setting beside a revision may be a folder; without one, a language model's name.
    model = inner.get("model")
    if "revision" in inner and isinstance(model, str) and model != "bundled":
        folder = _absolute(Path(model))
        inner["model"] = str(folder) if os.path.isdir(folder) else model  # noqa: PTH112
    return inner


def _absolute(path: Path) -> Path:
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise SettingsError(f"{quoted(str(path))} is too long for a path")
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"{quoted(str(path))}: there is no such user") from error


def _error_message(error: ValidationError, model: type[BaseModel], layers: Sequence[Layer]) -> str:
    """One line about the first error: unknown names first, then wrong values."""
    return _on_one_line(_first_error(error, model, layers))


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _first_error(error: ValidationError, model: type[BaseModel], layers: Sequence[Layer]) -> str:
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path, indices = _path_in(problem["loc"], model)
    name = ".".join(path)[:_MAX_SHOWN]
    shown = ".".join(map("".join, zip(path, indices, strict=True)))[:_MAX_SHOWN]
    source = _source_of(path, layers)
    if problem["type"] == "extra_forbidden":
        if name in setting_names(model):
            if len(problem["loc"]) < 2:
                return f"unknown setting {quoted(name)} in {source}: write a section as a mapping"
            # A setting of another kind; the kind that was chosen precedes it in the location.
            return (
                f"unknown setting {shown} in {source}; {problem['loc'][-2]!r} has no such setting"
            )
        return f"unknown setting {shown} in {source}{_suggest(name, model)}"
    if problem["type"] == "invalid_key":
        return f"unknown setting {quoted(problem['input'])} in {source}: names are text"
    if problem["type"] == "value_error":
        why = problem.get("ctx", {}).get("error", problem["msg"])
        return f"{shown or 'settings'} in {source}: {why}"
    if problem["type"] == "missing":
        return f"{shown} is not set in {source} and has no default"
    if problem["type"] == "union_tag_not_found":
        kind = str(problem.get("ctx", {}).get("discriminator", "")).strip("'")
        known = setting_names(model)
        given = problem["input"] if isinstance(problem["input"], Mapping) else {}
        unknown = [str(key) for key in given if f"{name}.{key}" not in known]
        if unknown:
            return (
                f"unknown setting {shown}.{unknown[0][:_MAX_SHOWN]} in {source}; "
                f"{shown}.{kind} is needed"
            )
        return f"{shown}.{kind} is not set in {source} and has no default"
    if path[:1] == ["rewrite"] and not isinstance(problem["input"], bool | float | str):
        # The value may be an address or the name of a key in the wrong setting: do not show it.
        return f"{shown} in {source} is {type(problem['input']).__name__}; {_expected(problem)}"
    return f"{shown} in {source} is {quoted(problem['input'])}; {_expected(problem)}"


def _expected(problem: ErrorDetails) -> str:
    """Values that pydantic would accept, worded alike for every type."""
    context = problem.get("ctx", {})
    choices = context.get("expected_tags") or context.get("expected")
    if choices:
        return f"choose one of: {str(choices).replace(' or ', ', ')}"
    match problem["type"]:
        case "tuple_type" | "list_type":
            return "it should be a list, in square brackets"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "it should be a section with settings of its own"
        case "too_short":
            number = context.get("min_length", 1)
            return f"it needs at least {number} {'entry' if number == 1 else 'entries'}"
    return problem["msg"].replace("Input should", "it should")


def _path_in(location: Sequence[int | str], model: type[BaseModel]) -> tuple[list[str], list[str]]:
    """The names in `location`, and after each its index in a list, as "[1]", or nothing.

    Pydantic's tags, which tell kinds of settings apart, are left out.
    """
    path: list[str] = []
    indices: list[str] = []
    kinds: Sequence[type[BaseModel]] = [model]
    is_tag = False
    for key in location:
        if isinstance(key, int):
            if indices:
                indices[-1] += f"[{key}]"
            continue
        if is_tag:
            # The tag of a list, or of one section, precedes the kind of the section.
            is_tag = key in (ONE_TAG, LIST_TAG)
            continue
        path.append(str(key))
        indices.append("")
        kinds = kinds_inside(kinds, str(key))
        is_tag = bool(discriminators(kinds))
    return path, indices


def _source_of(path: Sequence[str], layers: Sequence[Layer]) -> str:
    """The name of the topmost layer with the setting, or with the section that it belongs to."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if _has(layer.values, path[:length]):
                return layer.name
    return layers[-1].name


def _has(values: Any, path: Sequence[str]) -> bool:
    if not path:
        return True
    if isinstance(values, list):
        return any(_has(each, path) for each in values)
    return isinstance(values, Mapping) and path[0] in values and _has(values[path[0]], path[1:])


def _suggest(name: str, model: type[BaseModel]) -> str:
    names = sorted(set(setting_names(model)))
    section, _, last = name.rpartition(".")
    inside = [known for known in names if known.rpartition(".")[0] == section]
    # Compared without the section, which they share, and which would make any two alike.
    candidates = {known.rpartition(".")[2]: known for known in inside} if inside else {}
    words = set(last.split("_"))
    longer = [known for known in candidates if words < set(known.split("_"))]
    near = difflib.get_close_matches(last, longer or candidates, n=1, cutoff=0 if longer else 0.7)
    if near:
        return f"; did you mean {candidates[near[0]]}?"
    nearest = [] if section and inside else difflib.get_close_matches(name, names, 1, 0.75)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    elsewhere = [known for known in names if known.rpartition(".")[2] == last]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    have = f"{section} has" if section else "the settings are"
    return f"; {have}: {', '.join(k.rpartition('.')[2] for k in inside)}"
