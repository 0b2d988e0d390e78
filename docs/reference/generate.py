"""Writes the reference pages from the code: commands, settings and drop reasons.

    python docs/reference/generate.py          writes the pages
    python docs/reference/generate.py --check  fails if a page is not what the code says

tests/test_docs.py makes the same check.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.main import get_command

import pairaug
from pairaug.cli import app
from pairaug.config import PRESETS, Settings, flatten, load_settings

FOLDER = Path(__file__).parent
_NOTE = "<!-- Written by docs/reference/generate.py from the code; edit that, not this. -->\n"

_OTHER_SETTINGS = {
    "train generator": ("train.generator", "GeneratorSettings"),
    "train clip": ("train.clip", "ClipSettings"),
    "train classifier": ("train.classifier", "ClassifierSettings"),
    "evaluate counterfactual": ("evaluate.counterfactual", "CounterfactualSettings"),
    "evaluate zero-shot": ("evaluate.zero_shot", "ZeroShotSettings"),
    "evaluate linear-probe": ("evaluate.linear_probe", "LinearProbeSettings"),
    "evaluate retrieval": ("evaluate.retrieval", "RetrievalSettings"),
    "evaluate fidelity": ("evaluate.fidelity", "FidelitySettings"),
    "experiment utility": ("experiment.settings", "UtilitySettings"),
    "experiment pruning": ("experiment.settings", "PruningSettings"),
}
"""Commands with a settings file of their own: the module and the name of its model."""

_SHARED = "Shared sections"
_TITLES = {
    "LogitThresholdRule": "Rule",
    "SplitFractions": "Split",
    "PairSource": "Sources",
    "ImageDatasetSettings": "Training images",
    "ReadData": "Evaluation pairs",
    "TableData": "Evaluation images",
}
"""What a section that is printed once is called, by the name of its last model."""

_Key: TypeAlias = tuple[type[BaseModel], ...]
"""The models that a section may be: several kinds, or one."""


def pages() -> dict[str, str]:
    """File name → what it should hold."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "drop-reasons.md": drop_reasons_page(),
    }


def commands_page() -> str:
    """Every command with its help, arguments and options."""
    lines = [
        "# Commands",
        "",
        _NOTE,
        "Exit codes: 0 done; 1 a problem that you can fix, printed as one line; 2 wrong usage;",
        "130 stopped by Ctrl-C; 143 stopped by SIGTERM.",
        "",
    ]
    for path, command in commands():
        lines += [f"## pairaug {path}", "", f"{command.help or ''}".strip(), ""]
        lines += ["```text", _usage(path, command), "```", ""]
        parameters = [row for row in map(_parameter_row, command.params) if row]
        if parameters:
            lines += [
                "| argument or option | meaning | default |",
                "|---|---|---|",
                *parameters,
                "",
            ]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, click.Command]]:
    """(name after `pairaug`, command) of everything that can be run."""

    def walk(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            path = f"{prefix} {name}".strip()
            if hasattr(command, "commands"):
                yield from walk(path, command)
            else:
                yield path, command

    yield from walk("", get_command(app))


def settings_page() -> str:
    """Every setting with its type, default, presets' values and meaning.

    Each section is printed once, and linked to wherever it is nested.
    """
    lines = [
        "# Settings",
        "",
        _NOTE,
        "Write settings in a YAML file, and override single ones with `--set section.name=value`.",
        "Other settings have the value of the preset, or the default below if the preset does not",
        "set them. An unknown name is an error. A section that several places use is printed",
        "once and linked.",
        "",
        *_presets_table(),
    ]
    layout = _Layout(_sections())
    for section in layout.sections:
        lines += [f"## {section.title}", "", *([section.text, ""] if section.text else [])]
        lines += layout.tables(section.title, section.models, section.prefix, level=3)
        for key in layout.blocks_of(section.title):
            lines += layout.block(key)
    lines += [
        f"## {_SHARED}",
        "",
        "Sections of several commands, with names as inside of them.",
        "",
    ]
    for key in layout.blocks_of(_SHARED):
        lines += layout.block(key)
    return "\n".join(lines)


def drop_reasons_page() -> str:
    """Every reason for which a stage drops a pair."""
    lines = [
        "# Drop reasons",
        "",
        _NOTE,
        "Dropped pairs stay in the parts, with `drop_stage`, `drop_reason` and, for some reasons,",
        "`drop_detail`. `export` writes no parts; its card counts the dropped pairs by reason.",
        "",
    ]
    for stage, reasons in drop_reasons().items():
        lines += [f"## {stage}", "", "| reason | meaning |", "|---|---|"]
        lines += [f"| `{reason}` | {_cell(meaning)} |" for reason, meaning in reasons.items()] + [
            ""
        ]
    return "\n".join(lines)


def drop_reasons() -> dict[str, dict[str, str]]:
    """Stage → reason → meaning, from each module's `DROP_REASONS` or `MEANINGS`."""
    found: dict[str, dict[str, str]] = {}
    for module in stage_modules():
        reasons: Mapping[str, str] = {
            **getattr(module, "DROP_REASONS", {}),
            **getattr(module, "MEANINGS", {}),
        }
        stage = module.__name__.split(".")[1]
        own = found.setdefault("read" if stage == "readers" else stage, {})
        own.update({str(reason): meaning for reason, meaning in reasons.items()})
    order = ("read", "rewrite", "generate", "edit", "score", "prune", "export")
    return {stage: found[stage] for stage in order if found.get(stage)}


def stage_modules() -> Iterator[Any]:
    """Every module of the stages' ring."""
    stages = ("readers", "rewrite", "generate", "edit", "score", "prune", "export")
    for name in stages:
        module = importlib.import_module(f"pairaug.{name}")
        yield module
        for inner in pkgutil.iter_modules(getattr(module, "__path__", [])):
            yield importlib.import_module(f"{module.__name__}.{inner.name}")


def _usage(path: str, command: click.Command) -> str:
    arguments = [
        parameter for parameter in command.params if parameter.param_type_name == "argument"
    ]
    names = [(parameter.name or "").upper() for parameter in arguments]
    shown = [
        name if parameter.required else f"[{name}]"
        for name, parameter in zip(names, arguments, strict=True)
    ]
    return " ".join(["pairaug", path, *shown, "[OPTIONS]"])


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings, sections included."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _models(field.annotation):
            yield from setting_names(inner, f"{prefix}{name}.")


def _parameter_row(parameter: click.Parameter) -> str | None:
    if parameter.name == "help":
        return None
    is_option = parameter.param_type_name == "option"
    name = ", ".join(parameter.opts) if is_option else (parameter.name or "").upper()
    meaning = getattr(parameter, "help", "") or ""
    if parameter.required:
        return f"| `{name}` | {_cell(meaning)} | required |"
    default = parameter.default
    # Click marks a default that is not given with an object of its own.
    is_shown = isinstance(default, str | int | float | Path) and default is not False
    return f"| `{name}` | {_cell(meaning)} | {_value(default) if is_shown else ''} |"


def _presets_table() -> list[str]:
    """What each preset sets, by name; only where presets differ."""
    values = {preset: flatten(_preset(preset)) for preset in PRESETS}
    names = list(dict.fromkeys(name for flat in values.values() for name in flat))
    lines = [
        "## Presets",
        "",
        "Values that each preset sets. An empty cell means the default.",
        "",
        "| setting | " + " | ".join(f"`{preset}`" for preset in PRESETS) + " |",
        "|---" * (len(PRESETS) + 1) + "|",
    ]
    for name in names:
        cells = [_value(flat[name]) if name in flat else "" for flat in values.values()]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _preset(preset: str) -> dict[str, Any]:
    # A preset that is not valid should not be documented.
    load_settings(overrides=["read.layout=phantom"], preset=preset)
    path = Path(pairaug.__file__).parent / "presets" / f"{preset}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _sections() -> list[_Section]:
    """The run, each of its stages, and each command with settings of its own."""
    sections = [_Section("The run", (Settings,), "", "")]
    for name, field in Settings.model_fields.items():
        if models := _key(field.annotation):
            sections.append(_Section(name, models, f"{name}.", field.description or ""))
    for command, (module, name) in _OTHER_SETTINGS.items():
        model = getattr(importlib.import_module(f"pairaug.{module}"), name)
        text = "Settings in the YAML file of this command."
        sections.append(_Section(f"pairaug {command}", (model,), "", text))
    return sections


class _Section(NamedTuple):
    """A heading of the page, with the models whose settings are under it."""

    title: str
    models: _Key
    prefix: str
    text: str


class _Layout:
    """What is printed where: nested sections inside their parent's table, or once in a block.

    A nested section has a block of its own if it is one of several kinds, or nested in several
    places. Blocks are under the heading that all of these places are under, or at the end.
    """

    def __init__(self, sections: Sequence[_Section]) -> None:
        self.sections = sections
        self._homes = {each.models: each.title for each in sections}
        self._places: dict[_Key, list[str | _Key]] = {}
        self._names: dict[_Key, str] = {}
        self._printed: dict[type[BaseModel], str] = {}
        for section in sections:
            self._walk(section.models, section.title, section.prefix)

    def _walk(self, models: _Key, owner: str | _Key, prefix: str) -> None:
        for model in models:
            for name, field in model.model_fields.items():
                key = _key(field.annotation)
                if not key or key in self._homes:
                    continue
                places = self._places.setdefault(key, [])
                places.append(owner)
                if len(places) == 1:
                    self._names[key] = f"{prefix}{name}"
                    self._walk(key, key, f"{prefix}{name}.")

    def _is_block(self, key: _Key) -> bool:
        return len(key) > 1 or len(self._places[key]) > 1

    def _headings_of(self, key: _Key) -> set[str]:
        """The headings under which a nested section is used."""
        found: set[str] = set()
        for place in self._places[key]:
            found |= {place} if isinstance(place, str) else self._headings_of(place)
        return found

    def blocks_of(self, heading: str) -> list[_Key]:
        """The blocks under a heading, or at the end, in the order of their first use."""
        found = []
        for key in filter(self._is_block, self._places):
            headings = self._headings_of(key)
            if heading == (_SHARED if len(headings) > 1 else headings.pop()):
                found.append(key)
        return found

    def block(self, key: _Key) -> list[str]:
        """The heading and the tables of a section that is printed once."""
        title = self._title(key)
        return [f"### {title}", "", *self.tables(title, key, "", level=4)]

    def tables(self, title: str, models: _Key, prefix: str, *, level: int) -> list[str]:
        """A table for each model, under a heading of its own if there are several."""
        lines = []
        earlier: dict[str, list[str]] = {}
        for model in models:
            if len(models) > 1:
                if model in self._printed:
                    earlier.setdefault(self._printed[model], []).append(_discriminator(model))
                    continue
                self._printed[model] = title
                heading = f"{'#' * level} {title}: {_discriminator(model)}"
                lines += [heading, "", _first_line(model), ""]
            lines += ["| setting | values | default | meaning |", "|---|---|---|---|"]
            lines += [*self._rows(model, prefix), ""]
        for other, kinds in earlier.items():
            listed = ", ".join(f"`{kind}`" for kind in kinds)
            lines = [f"{listed}: see [{other}](#{_anchor(other)}).", "", *lines]
        return lines

    def _rows(self, model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            meaning, key = _cell(field.description or ""), _key(field.annotation)
            if not key:
                values = _values(field)
                if field.annotation == Path | dict[str, Any]:
                    values = "path or the settings of [a run](#the-run)"
                yield f"| `{prefix}{name}` | {values} | {_default(field)} | {meaning} |"
            elif key in self._homes or self._is_block(key):
                title = self._title(key)
                values = _section_words(field.annotation, f"[{title}](#{_anchor(title)})")
                yield f"| `{prefix}{name}` | {values} | | {meaning} |"
            else:
                values = _section_words(field.annotation, "section")
                yield f"| `{prefix}{name}` | {values} | | {meaning} |"
                yield from self._rows(key[0], f"{prefix}{name}.")

    def _title(self, key: _Key) -> str:
        return self._homes.get(key) or _TITLES.get(key[-1].__name__, self._names[key])


def _section_words(annotation: Any, section: str) -> str:
    """What a nested section may be: itself, a list of it, or null."""
    lists, has_one, has_null = _shapes(annotation)
    of_list = "list of these" if has_one else f"list of {section}"
    words = [section] * has_one + [of_list] * lists + ["null"] * has_null
    return " or ".join(words)


def _shapes(annotation: Any) -> tuple[bool, bool, bool]:
    """(it may be a list of sections, one section, null)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return False, True, False
    if annotation is type(None):
        return False, False, True
    if get_origin(annotation) in (list, tuple):
        return bool(_key(annotation)), False, False
    if get_origin(annotation) is Annotated:
        return _shapes(get_args(annotation)[0])
    inner = [_shapes(each) for each in get_args(annotation)]
    return any(a for a, _, _ in inner), any(b for _, b, _ in inner), any(c for _, _, c in inner)


def _anchor(title: str) -> str:
    """The anchor that the documentation gives a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _key(annotation: Any) -> _Key:
    """The models that a setting may be; none for a plain value."""
    return tuple(dict.fromkeys(_models(annotation)))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _models(inner)


def _discriminator(model: type[BaseModel]) -> str:
    """The value that chooses this model among others: that of its first Literal field."""
    for field in model.model_fields.values():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return str(get_args(field.annotation)[0])
    return model.__name__


def _values(field: FieldInfo) -> str:
    limits = [_limit(rule) for rule in field.metadata]
    return _cell(", ".join([_type(field.annotation), *filter(None, limits)]))


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "mapping"
    if annotation is type(None):
        return "null"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limit(rule: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
    for name, sign in signs.items():
        if (bound := getattr(rule, name, None)) is not None:
            return f"{sign} 2^63" if bound == 2**63 else f"{sign} {bound}"
    return ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    return _value(field.default)


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_value(item) for item in value)
    words = {"None": "null", "True": "true", "False": "false"}
    text = words.get(str(value), str(value))
    return f"`{text}`" if text else ""


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Writes the pages, or compares them; 1 where one is not current."""
    stale = []
    for name, content in pages().items():
        path = FOLDER / name
        text = content.rstrip() + "\n"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    for name in stale:
        sys.stderr.write(f"docs/reference/{name} is not current: run docs/reference/generate.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
