"""A run folder: where its files are, and its record `run.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairaug import __version__
from pairaug.atomic import remove_leftovers, settle, write_file
from pairaug.errors import RunError
from pairaug.manifest import (
    FORMAT_VERSION,
    check_format,
    is_last_part,
    part_index,
    part_paths,
)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def settings_path(self) -> Path:
        """`run.yaml`: the settings, resolved."""
        return self.path / "run.yaml"

    @property
    def record_path(self) -> Path:
        """`run.json`: what was run, on what, with which result."""
        return self.path / "run.json"

    def result(self, step: str) -> Path:
        """What a step after the parts writes: the folder of the export, the page of the summary."""
        return self.path / ("summary.html" if step == "summary" else step)

    def stage(self, name: str) -> Path:
        """The folder of a stage's parts."""
        return self.path / name

    def num_parts(self) -> int | None:
        """How many parts the run has, or None while the end of the source has not been read."""
        parts = part_paths(self.stage("read"))
        return part_index(parts[-1]) + 1 if parts and is_last_part(parts[-1]) else None

    def missing_parts(self, stage: str) -> list[int]:
        """The parts of a stage that are still to be made; the source must have been read."""
        num_parts = self.num_parts()
        if num_parts is None:
            raise RunError(
                f"{self.stage('read')} is not complete; run first: pairaug read {self.path}"
            )
        done = {part_index(path) for path in part_paths(self.stage(stage))}
        return [index for index in range(num_parts) if index not in done]

    def is_complete(self, stage: str) -> bool:
        """True if all parts of a stage are done."""
        return self.num_parts() is not None and not self.missing_parts(stage)

    def write_settings(self, text: str) -> None:
        """Writes `run.yaml`."""
        heading = "# The settings of this run, resolved: give this file to `pairaug run`.\n"
        write_file(self.settings_path, (heading + text).encode())

    def remove_leftovers(self) -> None:
        """Removes the half-written files of a run that was interrupted."""
        for folder in (self.path, *(path for path in self.path.iterdir() if path.is_dir())):
            remove_leftovers(folder)
        settle(self.result("export"))


@dataclass(slots=True)
class RunRecord:
    """The contents of `run.json`: facts about a run, kept up to date while it goes on."""

    seed: int = 0
    device: str = ""
    dtype: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    """Name, licence and terms of access of the real pairs."""
    versions: dict[str, str] = field(default_factory=dict)
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    """Stage → model → SHA-256 over its files."""
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage → {fingerprint, covers}; `covers` is what the fingerprint was made from."""
    rule: dict[str, Any] = field(default_factory=dict)
    """The numbers that pruning fitted over the whole run."""
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage → {in, made, living: {branch: pairs}, dropped: {reason: pairs}}."""
    quality: dict[str, Any] = field(default_factory=dict)
    """What the real pairs are like, as `pairaug.run.quality.Quality` counts it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → time spent, resumed runs added up."""

    @classmethod
    def load(cls, folder: RunFolder) -> RunRecord:
        """The record of a run; an empty one where the folder has none."""
        try:
            content = json.loads(folder.record_path.read_text(encoding="utf-8"))
            check_format(content.pop("pairaug").get("format"), folder.path)
            return cls(**content)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunError(
                f"{folder.record_path} is damaged. Delete it and run the same command again."
            ) from error

    def as_json(self) -> dict[str, Any]:
        """The record as plain values, headed by the version that writes it."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return {"pairaug": {"version": __version__, "format": FORMAT_VERSION}, **own}

    def save(self, folder: RunFolder) -> None:
        """Writes `run.json` in one step."""
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False)
        write_file(folder.record_path, (text + "\n").encode())

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Adds to the time that a stage has taken."""
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)
