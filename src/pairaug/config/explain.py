"""What is wrong with settings, in one line that says where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pairaug.config.introspect import discriminators, kinds_inside, setting_names

if TYPE_CHECKING:
    from pairaug.config.layers import Layer


_LONGEST = 100
"""Letters of a value that a message shows."""


def explain(
    error: ValidationError,
    model: type[BaseModel],
    layers: Sequence[Layer],
) -> str:
    """One line on the first thing that is wrong, unknown names before wrong values."""
    return _on_one_line(_explained(error, model, layers))


def quoted(value: Any) -> str:
    """A value as messages show it: on one line, its beginning if it is long."""
    text = _on_one_line(repr(value[:_LONGEST] if isinstance(value, str) else value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _explained(error: ValidationError, model: type[BaseModel], layers: Sequence[Layer]) -> str:
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path = _path_in(problem["loc"], model)
    name = ".".join(path)[:_LONGEST]
    source = _source_of(path, layers)
    if problem["type"] == "extra_forbidden":
        if name in setting_names(model):
            # Of another kind than the one that was chosen: the name before it in the location.
            return f"unknown setting {name} in {source}; {problem['loc'][-2]!r} has no such setting"
        return f"unknown setting {name} in {source}{_suggest(name, model)}"
    if problem["type"] == "invalid_key":
        return f"unknown setting {quoted(problem['input'])} in {source}: names are text"
    if problem["type"] == "value_error":
        why = problem.get("ctx", {}).get("error", problem["msg"])
        return f"{name or 'settings'} in {source}: {why}"
    if problem["type"] == "missing":
        return f"{name} is not set; it is needed in {source}"
    if problem["type"] == "union_tag_not_found":
        kind = str(problem.get("ctx", {}).get("discriminator", "")).strip("'")
        return f"{name}.{kind} is not set; it is needed in {source}"
    if path[:1] == ["rewrite"] and not isinstance(problem["input"], bool | float | str):
        # An address or the name of a key may be among what was put in the wrong place.
        return f"{name} in {source} is {type(problem['input']).__name__}; {_expected(problem)}"
    return f"{name} in {source} is {quoted(problem['input'])}; {_expected(problem)}"


def _expected(problem: ErrorDetails) -> str:
    """What pydantic expected, in the same words for every kind of value."""
    context = problem.get("ctx", {})
    choices = context.get("expected_tags") or context.get("expected")
    if choices:
        return f"choose one of: {str(choices).replace(' or ', ', ')}"
    return problem["msg"].replace("Input should", "it should")


def _path_in(location: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """The names in `location` without the tags by which pydantic tells kinds of settings apart."""
    path: list[str] = []
    kinds: Sequence[type[BaseModel]] = [model]
    is_tag = False
    for key in location:
        if isinstance(key, int):
            continue  # a place in a list
        if is_tag:
            is_tag = False
            continue
        path.append(str(key))
        kinds = kinds_inside(kinds, str(key))
        is_tag = bool(discriminators(kinds))
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
