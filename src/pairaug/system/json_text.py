"""Strict parsing of JSON from servers, datasets, models and run files.

The standard library's parser accepts values that fail later: deep nesting, lone surrogates, NaN and
infinity. Here each of them is one kind of error.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from pairaug.errors import PairAugError

MAX_DEPTH = 64
"""Levels of nested lists and objects, far above anything that PairAug reads or writes."""

MAX_FILE_BYTES = 1 << 26
"""Larger JSON files are not read into memory."""


class JSONTextError(ValueError):
    """A text is not JSON, or cannot be stored or walked; the message does not quote it."""


def parse_json(text: str | bytes, *, nan_is_null: bool = False) -> Any:
    """The value in `text`; bytes are UTF-8, with or without a byte order mark.

    Raises `JSONTextError` for text that is not UTF-8, not JSON, nested more than `MAX_DEPTH` deep,
    or that has NaN, an infinite number, thousands of digits, or half a surrogate pair.
    `nan_is_null` is for tables, where Python writes NaN for an empty cell.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        constant = _null if nan_is_null else _no_constant
        value = json.loads(text, parse_constant=constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise JSONTextError("not UTF-8") from error
    except RecursionError as error:
        raise JSONTextError(f"nested more than {MAX_DEPTH} deep") from error
    except json.JSONDecodeError as error:
        raise JSONTextError(f"not JSON (line {error.lineno})") from error
    except JSONTextError:
        raise
    except ValueError as error:  # An integer of more digits than Python converts.
        raise JSONTextError("a number has too many digits") from error
    _check(value)
    return value


def read_json_object(path: Path, error: type[PairAugError], remedy: str) -> dict[str, Any]:
    """The JSON object in the file at `path`.

    Raises `error` with the path, the problem, and `remedy`. A missing file raises
    `FileNotFoundError`, for the caller to handle.
    """
    try:
        if not path.is_file() and path.exists():
            raise error(f"{path} is not a file; {remedy}")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise error(f"{path} is larger than {MAX_FILE_BYTES >> 20} MB; {remedy}")
        value = parse_json(path.read_bytes())
    except JSONTextError as wrong:
        raise error(f"{path} cannot be read: {wrong}; {remedy}") from wrong
    except FileNotFoundError:
        raise
    except OSError as wrong:
        raise error(
            f"{path} cannot be read: {wrong.strerror or 'input/output error'}; {remedy}"
        ) from wrong
    if not isinstance(value, dict):
        raise error(f"{path} has no JSON object; {remedy}")
    return value


def _null(name: str) -> None:
    if name != "NaN":
        _no_constant(name)


def _no_constant(name: str) -> NoReturn:
    raise JSONTextError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JSONTextError("a number is too large")
    return number


def _check(value: Any) -> None:
    """Walks `value` level by level, so that depth costs no recursion."""
    level, depth = [value], 0
    while level:
        if depth == MAX_DEPTH and any(isinstance(one, dict | list) for one in level):
            raise JSONTextError(f"nested more than {MAX_DEPTH} deep")
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.keys()
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str) and not _is_storable(one):
                raise JSONTextError("half a surrogate pair")
        level, depth = below, depth + 1


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
