"""Values that a caller gives, checked by the settings of the stage that they belong to."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], caller: str, /, **values: Any) -> Model:
    """Settings of `model`; `SettingsError`, one line that names `caller`, for a wrong value."""
    try:
        return model(**values)
    except ValidationError:
        from pairaug.config.layers import Layer, validate

        return validate(model, [Layer(caller, values)])  # raises, and explains
