"""A run folder: where its files are, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pairaug.errors import RunError
from pairaug.manifest import is_last_part, part_index, part_paths
from pairaug.record import RECORD_NAME, RunRecord, read_record
from pairaug.system.atomic import remove_leftovers, settle, write_file


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
        return self.path / RECORD_NAME

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

    def load_record(self) -> RunRecord:
        """The record of the run; an empty one where the folder has none."""
        return read_record(self.record_path) or RunRecord()

    def write_settings(self, text: str) -> None:
        """Writes `run.yaml`."""
        heading = "# The settings of this run, resolved: give this file to `pairaug run`.\n"
        write_file(self.settings_path, (heading + text).encode())

    def remove_leftovers(self) -> None:
        """Removes the half-written files of a run that was interrupted."""
        for folder in (self.path, *(path for path in self.path.iterdir() if path.is_dir())):
            remove_leftovers(folder)
        settle(self.result("export"))


def settings_file(config: Path) -> Path:
    """The file of settings: of a run's folder, its `run.yaml`."""
    inside = config / "run.yaml"
    return inside if inside.is_file() else config


def folder_for(config: Path) -> Path:
    """A run's own folder for its run.yaml, so that it resumes; else a folder named for the file."""
    return config.parent if config.name == "run.yaml" else Path("runs") / config.stem
