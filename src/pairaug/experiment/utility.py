"""The paper's question: does training on real and kept pairs beat training on the real ones?

Every row is trained for as many steps, with several seeds, on the same real pairs, and judged by
zero-shot classification on the same films of other patients. What is done stays done: an
interrupted experiment goes on with the next pair, or the next step.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from pairaug.config import Settings, load_settings, settings_of
from pairaug.errors import DataError, SettingsError
from pairaug.evaluate.data import chosen_findings, open_cases
from pairaug.evaluate.zero_shot import findings_probabilities
from pairaug.experiment.cells import Cell, finish_cells
from pairaug.experiment.pairs import make_image_only, make_more_real, make_text_only
from pairaug.experiment.results import Utility, write_results
from pairaug.experiment.rows import num_steps_of, pairs_prints, sources_of
from pairaug.experiment.settings import Row, UtilitySettings
from pairaug.manifest import fingerprint, part_paths, read_columns
from pairaug.metrics.paired import paired_macros
from pairaug.run import RunFolder
from pairaug.run import run as run_all
from pairaug.run.device import with_device
from pairaug.run.progress import NoProgress, ProgressReport
from pairaug.stage import Context
from pairaug.train.clip.sources import is_used, run_stage

_FINEST = 255.0


def run_utility(
    settings: UtilitySettings, out: Path, progress: ProgressReport | None = None
) -> Path:
    """The path of `utility.json` in the folder `out`; its tables are beside it.

    What the folder holds of the same settings is kept, pairs and trained cells alike.
    """
    progress = progress or NoProgress()
    chain = with_device(_run_settings(settings))
    run_all(chain, RunFolder(out / "run"), progress)
    _make_other_pairs(settings, chain, out, progress)
    judge = Judge(settings)
    num_pairs = _num_pairs(settings, out)
    num_kept = num_pairs["+both"] - num_pairs["real"]
    num_steps = {row: num_steps_of(row, settings, num_pairs) for row in settings.rows}
    cells = [
        _cell(row, seed, settings, out, num_steps[row], judge.fingerprint, num_kept)
        # Seed by seed, so that an experiment that is cut short has whole comparisons.
        for seed in range(settings.num_seeds)
        for row in settings.rows
    ]
    told: dict[tuple[Row, int], np.ndarray] = {}
    progress.start("cells", len(cells))
    for cell, probabilities in finish_cells(
        cells,
        out / "cells",
        judge,
        at_once=settings.cells_at_once,
        keep_models=settings.keep_models,
    ):
        told[cell.row, cell.seed] = probabilities
        progress.note(cell.name)
        progress.advance(1)
    progress.finish()
    said = {row: [told[row, seed] for seed in range(settings.num_seeds)] for row in settings.rows}
    macros = paired_macros(judge.labels, said, groups=judge.patients, num_draws=settings.num_draws)
    return write_results(
        out, settings, Utility(num_pairs, num_steps, macros, judge.findings, len(judge.labels))
    )


class Judge:
    """Labelled films of other patients, held once for all models."""

    def __init__(self, settings: UtilitySettings) -> None:
        self._settings = settings
        self._cases = open_cases(settings.data)
        self.findings = chosen_findings(self._cases, settings.findings)

    @property
    def fingerprint(self) -> str:
        """The hash of all that decides what a model says, apart from the model."""
        plain = self._settings.model_dump(mode="json", include={"data", "templates", "findings"})
        return fingerprint({**plain, "hashes": dict(self._cases.hashes)})

    def __call__(self, model: Path) -> np.ndarray:
        """Zero-shot probabilities of the model in a folder, float32 `film finding`."""
        from pairaug.clip.encoders import open_encoder

        encoder = open_encoder(model, batch_size=64)
        films = (film.astype(np.float32) / _FINEST for film in self._loaded[0])
        return findings_probabilities(encoder, films, self.findings, self._settings.templates)

    @property
    def labels(self) -> np.ndarray:
        """float32 `film finding`: 1, 0, or NaN where it is not stated."""
        return self._loaded[1]

    @property
    def patients(self) -> np.ndarray:
        """Whose each film is, as a number: intervals draw patients."""
        return self._loaded[2]

    @cached_property
    def _loaded(self) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        films, labels, patients = [], [], []
        lost: Counter[str] = Counter()
        for case in self._cases:
            try:
                # Eight bits, as every model's transform makes of it: a quarter of the memory.
                films.append(np.rint(case.film() * _FINEST).astype(np.uint8))
            except DataError:
                lost["unreadable_image"] += 1
                continue
            labels.append([case.labels[name] for name in self.findings])
            patients.append(case.patient_id)
        if not films:
            raise DataError(f"data has no film to judge on: {dict(lost + self._cases.tally)}")
        codes = np.unique(np.array(patients), return_inverse=True)[1]
        return films, np.array(labels, np.float32), codes


def _run_settings(settings: UtilitySettings) -> Settings:
    if isinstance(settings.run, Path):
        return load_settings(settings.run)
    return settings_of(settings.run, "run")


def _make_other_pairs(
    settings: UtilitySettings, chain: Settings, out: Path, progress: ProgressReport
) -> None:
    """The pairs of those rows that the run itself does not make."""
    run = RunFolder(out / "run")
    context = Context(
        seed=chain.seed,
        device=chain.device,
        dtype=chain.dtype,
        compile=chain.compile,
        report_progress=progress.advance,
        report_status=progress.note,
    )
    num = settings.controls_per_report
    if "image-only" in settings.rows:
        progress.start("image-only", None)
        make_image_only(run, out / "image-only", chain, num, context)
        progress.finish()
    if "text-only" in settings.rows:
        make_text_only(run, out / "text-only", chain, num)
    if "ceiling" in settings.rows:
        num_wanted = _count("+both", out)
        progress.start("ceiling", num_wanted)
        make_more_real(out / "ceiling", settings.more_real, num_wanted, context)
        progress.finish()


def _num_pairs(settings: UtilitySettings, out: Path) -> dict[str, int]:
    """How many pairs each row trains on; those of `real` and `+both` in any case."""
    counts = {row: _count(row, out) for row in (*settings.rows, "real", "+both")}
    counts["no pruning, as many"] = counts["+both"]
    empty = [row for row, count in counts.items() if count == 0]
    if empty:
        raise SettingsError(f"the row {empty[0]!r} has no pairs to train on; see {out / 'run'}")
    return counts


def _count(row: Row, out: Path) -> int:
    """Pairs of a row whose number is that of what its sources have."""
    total = 0
    for source in sources_of(row, out, 0):
        assert source.run is not None
        for part in part_paths(run_stage(source.run)):
            rows = read_columns(part, ("split", "branch", "drop_stage")).to_pylist()
            total += sum(is_used(row, source) for row in rows)
    return total


def _cell(
    row: Row,
    seed: int,
    settings: UtilitySettings,
    out: Path,
    num_steps: int,
    judged_on: str,
    num_kept: int,
) -> Cell:
    train = settings.train.model_copy(
        update={
            "sources": sources_of(row, out, num_kept),
            "seed": seed,
            "max_steps": num_steps,
            "max_validation_pairs": 0,
            "cache": out / "cache",
        }
    )
    return Cell(row, seed, train, pairs_prints(row, out, num_kept), judged_on)
