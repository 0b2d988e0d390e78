"""The record of a run, `run.json`: contents, writing and strict reading.

It is written by the program that writes the run's parts, and read by many. A record that was edited
by hand, cut short, or written by a version with another format raises `RunError`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pairaug import __version__
from pairaug.errors import RunError
from pairaug.manifest import FORMAT_VERSION, check_format, part_fingerprint, part_path
from pairaug.system.atomic import write_file
from pairaug.system.json_text import read_json_object

log = logging.getLogger(__name__)

RECORD_NAME = "run.json"

_REMEDY = "delete it and run the same command again"


@dataclass(slots=True)
class RunRecord:
    """Contents of `run.json`: facts about a run, updated while it runs."""

    seed: int = 0
    device: str = ""
    dtype: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    """Name, license and terms of access of the real pairs."""
    versions: dict[str, str] = field(default_factory=dict)
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    """Stage → model → SHA-256 over its files."""
    phantom_models: dict[str, str] = field(default_factory=dict)
    """Stage → its model, if it was trained on simulated patients alone."""
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage → {fingerprint, inputs}; `inputs` are the values that were hashed."""
    rule: dict[str, Any] = field(default_factory=dict)
    """Numbers that pruning fitted over the whole run."""
    gate: dict[str, Any] = field(default_factory=dict)
    """The scorer's measurement on the real pairs, from before the rules were fitted."""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    """Pruning's decisions, oldest first: {fingerprint, rule, gate, kept, changed}."""
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage → {in, created, living: {branch: pairs}, dropped: {reason: pairs}}."""
    quality: dict[str, Any] = field(default_factory=dict)
    """Counts of `pairaug.run.quality.Quality` over the real pairs."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → time spent, including resumed runs."""

    @property
    def decided_by(self) -> dict[str, Any]:
        """All numbers that pruning's decisions depend on."""
        return {**self.rule, "gate": self.gate} if self.gate else self.rule

    def as_json(self) -> dict[str, Any]:
        """The record as plain values, starting with the PairAug version that writes it."""
        return {"pairaug": {"version": __version__, "format": FORMAT_VERSION}, **asdict(self)}

    def write(self, path: Path) -> None:
        """Writes the record atomically."""
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
        write_file(path, (text + "\n").encode())

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Adds to the time spent in a stage."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)

    def forget(self, stage: str) -> None:
        """Removes the entries of a stage that is about to run again."""
        for noted in (self.fingerprints, self.counts, self.seconds):
            noted.pop(stage, None)
        if stage == "read":
            self.quality = {}


def read_record(path: Path) -> RunRecord | None:
    """The record in a `run.json`, or None if there is no such file.

    Raises `RunError` for a file that is not a record, or of another format.
    """
    try:
        content = read_json_object(path, RunError, _REMEDY)
    except FileNotFoundError:
        return None
    _check_version(path, content.pop("pairaug", None))
    try:
        _Shape.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        where = ".".join(str(key) for key in problem["loc"])
        raise RunError(f"{path} is damaged at {where} ({problem['type']}); {_REMEDY}") from error
    return RunRecord(**content)


def check_run_format(folder: Path) -> None:
    """`RunError` if a folder holds a run in an earlier or later layout than this one."""
    read_record(folder / RECORD_NAME)
    first = part_path(folder / "read", 0)
    if first.is_file():
        part_fingerprint(first)


def _check_version(path: Path, header: Any) -> None:
    try:
        found = _Header.model_validate(header)
    except ValidationError as error:
        raise RunError(
            f"{path} does not state the PairAug version that wrote it; {_REMEDY}"
        ) from error
    check_format(found.format, path.parent)
    if found.version != __version__:
        log.warning(
            "%s was written by PairAug %s; continuing with %s, whose new parts may differ",
            path,
            found.version,
            __version__,
        )


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Header(_Strict):
    version: str = Field("unknown", max_length=64, pattern=r"^[\w.+!-]+$")
    format: int


class _Fingerprint(_Strict):
    fingerprint: str
    inputs: dict[str, Any]


class _Counts(_Strict):
    taken: int = Field(alias="in", ge=0)
    created: int
    living: dict[str, int]
    dropped: dict[str, int]


class _Decision(_Strict):
    fingerprint: str
    rule: dict[str, Any]
    gate: dict[str, Any]
    kept: dict[str, int]
    changed: dict[str, int] = Field(default_factory=dict)


class _Rule(BaseModel):
    """Numbers fitted by a rule, with the bounds that other code uses."""

    model_config = ConfigDict(strict=True, extra="allow")

    bounds: dict[str, float] = Field(default_factory=dict)


class _Shape(_Strict):
    """Types of a `RunRecord`'s values, checked on reading."""

    seed: int = 0
    device: str = ""
    dtype: str = ""
    source: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    weights: dict[str, dict[str, str]] = Field(default_factory=dict)
    phantom_models: dict[str, str] = Field(default_factory=dict)
    fingerprints: dict[str, _Fingerprint] = Field(default_factory=dict)
    rule: dict[str, _Rule] = Field(default_factory=dict)
    gate: dict[str, Any] = Field(default_factory=dict)
    decisions: list[_Decision] = Field(default_factory=list)
    counts: dict[str, _Counts] = Field(default_factory=dict)
    quality: dict[str, Any] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
