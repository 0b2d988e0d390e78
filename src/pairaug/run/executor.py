"""Execution of a run in its folder: makes missing parts, counts and times them, keeps the record.

Dropped pairs stay in the parts, each with its reason.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Protocol, runtime_checkable

import pyarrow as pa

from pairaug import __version__
from pairaug.config import Settings, as_yaml
from pairaug.errors import DataError, RunError
from pairaug.manifest import (
    part_fingerprint,
    part_path,
    part_paths,
    read_pairs,
    read_part,
    read_table,
    write_part,
    write_table,
)
from pairaug.notices import is_simulated
from pairaug.pair import Pair
from pairaug.readers import Counted, Reader
from pairaug.run.counts import count_stage, num_work
from pairaug.run.decisions import append_decision
from pairaug.run.device import quieten_model_libraries
from pairaug.run.fingerprints import (
    StageFingerprint,
    fingerprint_of,
    prune_fingerprint,
    stage_fingerprint,
)
from pairaug.run.folder import RunFolder
from pairaug.run.progress import NoProgress, ProgressReport
from pairaug.run.quality import assess, is_current
from pairaug.run.stages import MODEL_STAGES, STAGES, open_source, open_stage
from pairaug.stage import Fitted, RunContext, Stage, apply, batched

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pyarrow", "pillow")


@runtime_checkable
class TableStage(Protocol):
    """A stage that processes a part as a table, without unpacking pairs and images."""

    def apply_to_table(self, table: pa.Table) -> pa.Table: ...


class RunExecutor:
    """Makes the parts of a run folder, which the caller has locked."""

    def __init__(
        self, settings: Settings, folder: RunFolder, progress: ProgressReport | None = None
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.record = folder.load_record()
        self._progress = progress or NoProgress()
        self._context = RunContext(
            seed=settings.seed,
            device=settings.device,
            dtype=settings.dtype,
            compile=settings.compile,
            num_workers=settings.num_workers,
            report_progress=self._progress.advance,
            report_status=self._progress.note,
            folder=folder.path,
        )

    def fingerprints(self) -> list[StageFingerprint]:
        """Fingerprints of all stages before pruning; reads the source's files and the models."""
        fingerprints: list[StageFingerprint] = []
        for stage in STAGES[:-1]:
            fingerprints.append(
                self.fingerprint_of(stage, fingerprints[-1] if fingerprints else None)
            )
        return fingerprints

    def fingerprint_of(self, stage: str, parent: StageFingerprint | None) -> StageFingerprint:
        """The fingerprint of a stage before pruning."""
        return stage_fingerprint(stage, self.settings, parent, self.record)

    def expected_prune(self, parent: StageFingerprint) -> list[StageFingerprint]:
        """The fingerprint of pruning with the recorded fit, or none if nothing was fitted yet."""
        rule = self.record.decided_by
        return [prune_fingerprint(self.settings, parent, rule)] if rule else []

    def fingerprint_on_disk(self, stage: str) -> StageFingerprint:
        """The fingerprint in the parts of a complete stage."""
        if not self.folder.is_complete(stage):
            raise RunError(
                f"{self.folder.stage(stage)} is not complete; "
                f"run first: pairaug {stage} {self.folder.path}"
            )
        values = {part_fingerprint(path) for path in part_paths(self.folder.stage(stage))}
        if len(values) > 1:
            raise RunError(
                f"{self.folder.stage(stage)} has parts with different settings. Delete it, and "
                f"run: pairaug {stage} {self.folder.path}"
            )
        return StageFingerprint(
            stage, values.pop(), self.record.fingerprints.get(stage, {}).get("inputs", {})
        )

    def write_record(self, fingerprints: Sequence[StageFingerprint]) -> None:
        """Writes settings, versions and fingerprints to the record, before the parts are made."""
        settings, record = self.settings, self.record
        record.seed, record.device, record.dtype = settings.seed, settings.device, settings.dtype
        record.versions = _versions()
        for each in fingerprints:
            if record.fingerprints.get(each.stage, {}).get("fingerprint") != each.value:
                # Also removes the counts of the parts made before.
                record.forget(each.stage)
            record.fingerprints[each.stage] = each.as_record()
        record.write(self.folder.record_path)
        self.folder.write_settings(as_yaml(settings))

    def make(self, current: StageFingerprint) -> None:
        """Makes the missing parts of a stage before pruning."""
        name = current.stage
        if name == "read":
            self._read(current)
        elif self.folder.missing_parts(name):
            if name in MODEL_STAGES:
                quieten_model_libraries()
            stage = open_stage(name, self.settings, self._context)
            if isinstance(stage, Fitted):
                before = STAGES[STAGES.index(name) - 1]
                stage.fit(read_pairs(self.folder.stage(before)))
            self._make_parts(stage, current)
        self._count(name)
        if name == "read" and not is_current(self.record.quality):
            self._assess()

    def check_usable(self) -> None:
        """Raises `DataError` if no real pair can be used."""
        counts, stage = self.record.counts["read"], self.folder.stage("read")
        if sum(counts["living"].values()):
            return
        pairs = read_pairs(stage)
        details = {pair.drop.reason: pair.drop.detail for pair in pairs if pair.drop}
        reasons = "; ".join(
            f"{reason} {number:,}" + (f", for example {details[reason]}" if details[reason] else "")
            for reason, number in counts["dropped"].items()
        )
        raise DataError(
            f"none of the {counts['in']:,} pairs of {self.record.source['name']} can be used: "
            f"{reasons}. Fix the settings or the data, delete {self.folder.path}, and run again."
        )

    def prune(self, parent: StageFingerprint, *, again: bool = False) -> None:
        """Fits the rules over all score parts and drops the pairs that fail them.

        `again` replaces the parts of other rules.
        """
        from pairaug.prune import Prune, PruneRule, measure_gate

        folder = self.folder
        expected = [each.value for each in self.expected_prune(parent)]
        if folder.is_complete("prune") and self.fingerprint_on_disk("prune").value in expected:
            self._count("prune")
            self._append_decision()
            return
        if again and folder.is_complete("prune"):
            append_decision(folder, self.record)  # before its parts go
        scored = part_paths(folder.stage("score"))
        decision = PruneRule(self.settings.prune).decide_parts(scored)
        is_foreign = "score" in self.record.phantom_models and not is_simulated(self.record.source)
        gate = measure_gate(scored, self.settings.prune.gate, is_foreign=is_foreign)
        self.record.rule, self.record.gate = decision.fitted, gate
        fitted = self.record.decided_by
        current = prune_fingerprint(self.settings, parent, fitted)
        others = [
            path
            for path in part_paths(folder.stage("prune"))
            if part_fingerprint(path) != current.value
        ]
        if others and not again:
            raise RunError(
                f"{folder.stage('prune')} was made from other scores. Delete it, and repeat the "
                "command."
            )
        for path in others:
            path.unlink()
        self.write_record([current])
        self.record.seconds.pop("prune", None)
        stage = Prune(self.settings.prune, fitted, self._context, decision.copies)
        self._make_parts(stage, current)
        self._count("prune")
        self._append_decision()

    def _append_decision(self) -> None:
        """Adds the decision to the history, if there is one."""
        if self.record.decisions:
            append_decision(self.folder, self.record)

    def write(
        self, step: str, *, again: bool = False, layouts: Collection[str] | None = None
    ) -> None:
        """Writes the export or the summary, unless it exists for the same pairs.

        `layouts` are the layouts that the export writes again; None: all of them.
        """
        current = fingerprint_of(step, self.settings, self.fingerprint_on_disk("prune"))
        recorded = self.record.fingerprints.get(step, {}).get("fingerprint")
        if recorded == current.value and self.folder.result(step).exists() and not again:
            return
        # The result counts as unfinished until it is in the record again.
        self.record.forget(step)
        self.write_record([])
        self._complete_counts()
        with self._time(step):
            if step == "export":
                self._export(layouts)
            else:
                self._summarize()
        self.record.fingerprints[step] = current.as_record()
        self.write_record([])

    def _complete_counts(self) -> None:
        """Adds counts that a killed run did not write; the card and the page show them."""
        for stage in STAGES:
            if stage not in self.record.counts:
                self._count(stage)
        if not is_current(self.record.quality):
            self._assess()

    def _export(self, layouts: Collection[str] | None) -> None:
        from pairaug.export import Export, PartPairs

        num_living = sum(self.record.counts["prune"]["living"].values())
        self._progress.start("export", num_living)
        export = Export(self.settings.export, self._context)
        pairs = PartPairs(self.folder.stage("prune"))
        to, recipe = self.folder.result("export"), self.record.as_json()
        report = export.write(pairs, to, recipe, layouts)
        self.record.counts["export"] = {
            "in": num_living,
            "created": 0,
            "living": report.by_branch,
            "dropped": {**report.left_out, **report.lost},
        }
        self._progress.finish()

    def _summarize(self) -> None:
        from pairaug.summary import write_summary

        self._progress.start("summary", 1, unit="page")
        write_summary(self.folder.path, self.settings.summary)
        self._progress.advance(1)
        self._progress.finish()

    def _read(self, current: StageFingerprint) -> None:
        folder, stage = self.folder, self.folder.stage("read")
        if folder.num_parts() is not None and not folder.missing_parts("read"):
            return
        reader = open_source(self.settings, self._context)
        groups = batched(islice(reader, self.settings.limit), self.settings.part_size)
        self._progress.start("read", num_expected(self.settings, reader))
        with self._time("read"):
            for index, (pairs, is_last) in enumerate(_with_end(groups)):
                if not part_path(stage, index).exists():
                    write_part(stage, index, pairs, current.value, is_last=is_last)
        self._progress.finish()
        if not part_paths(stage):
            raise DataError(f"the source {self.record.source['name']} has no pairs")

    def _assess(self) -> None:
        self.record.quality = assess(part_paths(self.folder.stage("read"))).as_json()
        self.record.write(self.folder.record_path)

    def _make_parts(self, stage: Stage, current: StageFingerprint) -> None:
        name, folder = current.stage, self.folder
        before = part_paths(folder.stage(STAGES[STAGES.index(name) - 1]))
        missing = folder.missing_parts(name)
        sizes = [num_work(name, path) for path in before]
        self._progress.start(name, sum(sizes), sum(sizes) - sum(sizes[i] for i in missing))
        for index in missing:
            with self._time(name), self._memory_errors(name):
                is_last = index + 1 == len(before)
                to, own_fingerprint = folder.stage(name), current.value
                if isinstance(stage, TableStage):
                    table = stage.apply_to_table(read_table(before[index]))
                    write_table(to, index, table, own_fingerprint, is_last=is_last)
                else:
                    pairs = apply(stage, read_part(before[index]))
                    write_part(to, index, pairs, own_fingerprint, is_last=is_last)
            self.record.write(folder.record_path)
        self._progress.finish()

    def _count(self, stage: str) -> None:
        index = STAGES.index(stage)
        before = part_paths(self.folder.stage(STAGES[index - 1])) if index else []
        parts = part_paths(self.folder.stage(stage))
        self.record.counts[stage] = count_stage(stage, parts, before)
        self.record.write(self.folder.record_path)

    @contextmanager
    def _memory_errors(self, stage: str) -> Iterator[None]:
        """Turns running out of memory into an error that names the setting to lower."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            # PyTorch's error is recognised by name, because this module does not import PyTorch.
            if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
                raise
            raise RunError(
                f"{stage} ran out of memory on {self.settings.device}. Lower {stage}.batch_size, "
                f"delete {self.folder.stage(stage)} if it exists, and run again."
            ) from error

    @contextmanager
    def _time(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.record.add_seconds(stage, time.monotonic() - started)


def num_expected(settings: Settings, reader: Reader) -> int | None:
    """Number of real pairs that will be read; None if it is not known before reading."""
    records = reader.count() if isinstance(reader, Counted) else None
    known = [settings.limit, records]
    return min((number for number in known if number is not None), default=None)


def _with_end(groups: Iterable[list[Pair]]) -> Iterator[tuple[list[Pair], bool]]:
    """(group, True for the last one)."""
    previous: list[Pair] | None = None
    for group in groups:
        if previous is not None:
            yield previous, False
        previous = group
    if previous is not None:
        yield previous, True


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "pairaug": __version__}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {**versions, "platform": platform.platform()}
