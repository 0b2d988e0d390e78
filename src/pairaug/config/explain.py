"""What is wrong with settings, in one line that says where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

if TYPE_CHECKING:
    from pairaug.config.layers import Layer


def explain(
    error: ValidationError,
    model: type[BaseModel],
    merged: Mapping[str, Any],
    layers: Sequence[Layer],
) -> str:
    """One line on the first thing that is wrong, unknown names before wrong values."""
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path = _path_in(merged, problem["loc"])
    name = ".".join(path)
    source = _source_of(path, layers)
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {name} in {source}{_suggest(name, model)}"
    if problem["type"] == "value_error":
        return f"{name or 'settings'} in {source}: {problem['ctx']['error']}"
    if problem["type"] == "missing":
        return f"{name} is not set; it is needed in {source}"
    return f"{name} in {source} is {problem['input']!r}; {_expected(problem)}"


def _expected(problem: ErrorDetails) -> str:
    """What pydantic expected, in the same words for every kind of value."""
    context = problem.get("ctx", {})
    choices = context.get("expected_tags") or context.get("expected")
    if choices:
        return f"choose one of: {str(choices).replace(' or ', ', ')}"
    return problem["msg"].replace("Input should", "it should")


def _path_in(values: Any, location: Sequence[int | str]) -> list[str]:
    """The keys of `location` that the user wrote: pydantic adds the names of union members."""
    path: list[str] = []
    for position, key in enumerate(location):
        is_last = position + 1 == len(location)
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            if not is_last or not isinstance(values, Mapping):
                continue
        path.append(str(key))
    return path


def _source_of(path: Sequence[str], layers: Sequence[Layer]) -> str:
    """The topmost layer that says something of the setting, else of what it is part of."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if _has(layer.values, path[:length]):
                return layer.name
    return layers[-1].name


def _has(values: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True


def _suggest(name: str, model: type[BaseModel]) -> str:
    names = sorted(set(setting_names(model)))
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    last = name.rpartition(".")[2]
    elsewhere = [known for known in names if known.rpartition(".")[2] == last]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    section = name.rpartition(".")[0]
    inside = [known for known in names if known.rpartition(".")[0] == section]
    return f"; {section or 'the settings'} has: {', '.join(k.rpartition('.')[2] for k in inside)}"


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings, sections included."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in models_in(field.annotation):
            yield from setting_names(inner, f"{prefix}{name}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models in a type: itself, or the members of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from models_in(inner)
