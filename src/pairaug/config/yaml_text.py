"""Settings as YAML text, in and out: plain values only, read as YAML 1.2's core schema reads them.

So `no` is a word and not false, `12:30` no number of seconds, and a date is text. Whatever cannot
be settings, or could be read in two ways, is one error with its place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel
from yaml.constructor import ConstructorError

from pairaug.errors import SettingsError

MAX_BYTES = 1 << 20
"""Settings are written by people; a file of more holds something else."""

MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Names and values with all aliases written out."""

_MAX_DIGITS = 40

# (tag, what a plain value of it looks like, its possible first letters)
_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


def parse_settings(text: str, where: str) -> Any:
    """The value that YAML text holds; errors call the text `where`."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{where} is not YAML: {_problem(error)}") from error
    except RecursionError as error:
        raise SettingsError(f"{where} is nested more than {MAX_DEPTH} deep") from error
    _check(value, where)
    return value


def read_settings_text(path: Path) -> str:
    """The text of a settings file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"{path} is larger than 1 MB; give a settings file")
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"there is no settings file {path}") from error
    except IsADirectoryError as error:
        raise SettingsError(f"{path} is a folder without run.yaml; give a settings file") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise SettingsError(f"{str(path)!r} is no path") from error


def as_yaml(settings: BaseModel) -> str:
    """The settings as YAML text that reads back to the same."""
    values = settings.model_dump(mode="json")
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Plain values, each name once."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or str(tag).rpartition(":")[2] in ("null", "bool", "str", "seq")
    }


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would take for something else than text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


for _kind in (_Loader, _Dumper):
    for _tag, _looks, _first in _RESOLVERS:
        _pattern = re.compile(rf"^(?:{_looks})$")
        _kind.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))


def _bool(loader: _Loader, node: yaml.ScalarNode) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in ("true", "false"):
        raise ConstructorError(None, None, "neither true nor false", node.start_mark)
    return text == "true"


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        problem = f"{text[:9]} has a leading zero: leave it out, or quote what is no number"
        raise ConstructorError(None, None, problem, node.start_mark)
    if len(text) > _MAX_DIGITS:
        raise ConstructorError(None, None, "a number has too many digits", node.start_mark)
    try:
        return int(text, 16 if text.startswith("0x") else 10)
    except ValueError as error:
        raise ConstructorError(None, None, "no whole number", node.start_mark) from error


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).lower()
    try:
        return float(re.sub(r"\.(inf|nan)$", r"\1", text))
    except ValueError as error:
        raise ConstructorError(None, None, "no number", node.start_mark) from error


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise ConstructorError(None, None, "no `name: value` lines", node.start_mark)
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float):
            raise ConstructorError(None, None, "this cannot be a name", key_node.start_mark)
        if key in seen:
            raise ConstructorError(None, None, f"{key} is given twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_OWN: Any = (
    ("bool", _bool),
    ("int", _int),
    ("float", _float),
    ("map", _mapping),
)
for _tag, _constructor in _OWN:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _constructor)


def _check(value: Any, where: str) -> None:
    """Raises where a value cannot be stored or walked; aliases count each time they are used."""
    level: list[tuple[str, Any]] = [("", value)]
    num_values = depth = 0
    while level:
        below: list[tuple[str, Any]] = []
        for name, one in level:
            num_values += 1
            if num_values > MAX_VALUES:
                raise SettingsError(f"{where} has more than {MAX_VALUES:,} values")
            if isinstance(one, dict):
                below += [("a name", key) for key in one]
                below += [(f"{name}.{key}".lstrip("."), inner) for key, inner in one.items()]
            elif isinstance(one, list):
                below += [(name, inner) for inner in one]
            elif isinstance(one, str) and not _is_storable(one):
                raise SettingsError(
                    f"{where}: {name or 'the value'} holds a character that no file can hold"
                )
        level, depth = below, depth + 1
        if depth > MAX_DEPTH:
            raise SettingsError(f"{where} is nested more than {MAX_DEPTH} deep")


def _is_storable(text: str) -> bool:
    try:
        return "\0" not in text and bool(text.encode()) == bool(text)
    except UnicodeEncodeError:
        return False


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
