"""A run folder: the paths of its files and its progress."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pairaug.errors import RunError
from pairaug.manifest import is_last_part, part_index, part_paths
from pairaug.record import RECORD_NAME, RunRecord, read_record
from pairaug.system.atomic import remove_leftovers, settle, write_file


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and state of one run."""

    path: Path

    @property
    def settings_path(self) -> Path:
        """`run.yaml`: the resolved settings."""
        return self.path / "run.yaml"

    @property
    def record_path(self) -> Path:
        """`run.json`: the record of the run."""
        return self.path / RECORD_NAME

    def result(self, step: str) -> Path:
        """The result of a step after the parts: `export` is a folder, `summary` an HTML page."""
        return self.path / ("summary.html" if step == "summary" else step)

    def stage(self, name: str) -> Path:
        """The folder of a stage's parts."""
        return self.path / name

    def num_parts(self) -> int | None:
        """Number of parts of the run; None until the source has been read to its end."""
        parts = part_paths(self.stage("read"))
        return part_index(parts[-1]) + 1 if parts and is_last_part(parts[-1]) else None

    def missing_parts(self, stage: str) -> list[int]:
        """Indices of the missing parts of a stage; raises if the source has not been read."""
        num_parts = self.num_parts()
        if num_parts is None:
            raise RunError(
                f"{self.stage('read')} is not complete; run first: pairaug read {self.path}"
            )
        done = {part_index(path) for path in part_paths(self.stage(stage))}
        return [index for index in range(num_parts) if index not in done]

    def is_complete(self, stage: str) -> bool:
        """True if all parts of a stage exist."""
        return self.num_parts() is not None and not self.missing_parts(stage)

    def load_record(self) -> RunRecord:
        """The record of the run; an empty one if the folder has none."""
        return read_record(self.record_path) or RunRecord()

    def write_settings(self, text: str) -> None:
        """Writes `run.yaml`."""
        heading = (
            "# Resolved settings of this run. To resume it, pass this file to `pairaug run`.\n"
        )
        write_file(self.settings_path, (heading + text).encode())

    def remove_leftovers(self) -> None:
        """Removes temporary files of an interrupted run."""
        for folder in (self.path, *(path for path in self.path.iterdir() if path.is_dir())):
            remove_leftovers(folder)
        settle(self.result("export"))


def settings_file(config: Path) -> Path:
    """The settings file; for a run folder, its `run.yaml`."""
    inside = config / "run.yaml"
    return inside if inside.is_file() else config


def folder_for(config: Path) -> Path:
    """The run folder: that of a run.yaml, which is then resumed, else runs/NAME for NAME.yaml."""
    return config.parent if config.name == "run.yaml" else Path("runs") / config.stem
