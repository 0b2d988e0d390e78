"""The names of all settings, from the pydantic models, unions of several kinds included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings, sections included."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _models_in(field.annotation):
            yield from setting_names(inner, f"{prefix}{name}.")


def kinds_inside(kinds: Sequence[type[BaseModel]], name: str) -> list[type[BaseModel]]:
    """The models that the setting `name` of one of `kinds` may be; none for a plain value."""
    fields = [kind.model_fields[name] for kind in kinds if name in kind.model_fields]
    return list(dict.fromkeys(model for field in fields for model in _models_in(field.annotation)))


def may_be_null(kinds: Sequence[type[BaseModel]], name: str) -> bool:
    """True if the setting `name` of one of `kinds` may be null, so that null says something."""
    fields = [kind.model_fields[name] for kind in kinds if name in kind.model_fields]
    return any(type(None) in get_args(field.annotation) for field in fields)


def discriminators(kinds: Sequence[type[BaseModel]]) -> set[str]:
    """The settings that tell several kinds apart: each kind has its own one value."""
    if len(kinds) < 2:
        return set()
    shared = set.intersection(*(set(kind.model_fields) for kind in kinds))
    return {
        name
        for name in shared
        if len({get_args(kind.model_fields[name].annotation) for kind in kinds}) == len(kinds)
        and all(get_origin(kind.model_fields[name].annotation) is Literal for kind in kinds)
    }


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _models_in(inner)
