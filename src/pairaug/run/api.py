"""The programs: a whole run, and one stage of a run. Finished parts are never made again.

`RunExecutor` makes the parts; the functions here check first whether they may be made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pairaug.config import Settings, change_settings, flatten, load_settings
from pairaug.errors import RunError, SettingsError
from pairaug.record import RunRecord
from pairaug.run.device import with_device
from pairaug.run.executor import RunExecutor
from pairaug.run.fingerprints import (
    StageFingerprint,
    check_started_with,
    check_unchanged,
    differences,
    own_settings,
)
from pairaug.run.folder import RunFolder
from pairaug.run.progress import ProgressReport
from pairaug.run.stages import (
    AFTER_PARTS,
    STAGES,
    check_installed,
    check_models,
    check_server,
)
from pairaug.system.locks import hold_lock

OnRead = Callable[[RunRecord], None]
"""Called once the real pairs are read, before they are rewritten."""

_REMADE_IN_PLACE = ("prune", *AFTER_PARTS)


def run(
    settings: Settings,
    folder: RunFolder,
    progress: ProgressReport | None = None,
    on_read: OnRead | None = None,
) -> RunRecord:
    """Runs all stages, writes `summary.html`, and returns the record of the run.

    Parts in the folder are kept if they were made with the same settings, weights and data;
    otherwise a `RunError` names what changed, and no file is touched. `on_read` is called only if
    the pairs are read now, not if an earlier run has read them.
    """
    settings = with_device(settings)
    check_installed(settings)
    with hold_lock(folder.path):
        folder.remove_leftovers()
        executor = RunExecutor(settings, folder, progress)
        fingerprints = executor.fingerprints()
        check_unchanged(
            folder, executor.record, [*fingerprints, *executor.expected_prune(fingerprints[-1])]
        )
        _check_after_parts(executor)
        if not folder.is_complete("rewrite"):
            check_server(settings)  # before hours of reading
        check_started_with(folder, settings)
        for current in fingerprints:
            if not folder.is_complete(current.stage):
                check_models(current.stage, settings)
        executor.write_record(fingerprints)
        has_read = folder.is_complete("read")
        for current in fingerprints:
            executor.make(current)
            if current.stage == "read" and not has_read and on_read is not None:
                on_read(executor.record)
            if current.stage == "read":
                executor.check_usable()
        executor.prune(fingerprints[-1])
        for step in AFTER_PARTS:
            executor.write(step)
    return executor.record


def run_stage(
    stage: str,
    folder: RunFolder,
    overrides: Sequence[str] = (),
    progress: ProgressReport | None = None,
    *,
    layouts: Collection[str] | None = None,
    on_read: OnRead | None = None,
) -> RunRecord:
    """Runs one stage of an existing run and returns the record.

    `overrides` ("a.b=c") may change this stage's settings and are saved in `run.yaml`. `prune`,
    `export` and `summary` replace their results; other stages never delete parts. `layouts` are the
    layouts that an export writes again; None: all of its settings.
    """
    settings = _changed_settings(stage, folder, overrides)
    if stage not in _REMADE_IN_PLACE:
        settings = with_device(settings)
    with hold_lock(folder.path):
        folder.remove_leftovers()
        executor = RunExecutor(settings, folder, progress)
        if stage in AFTER_PARTS:
            executor.write(stage, again=True, layouts=layouts)
        elif stage == "prune":
            parent = executor.fingerprint_on_disk("score")
            executor.prune(parent, again=True)
        else:
            _make_stage(executor, stage)
            if stage == "read" and on_read is not None:
                on_read(executor.record)
            if stage == "read":
                executor.check_usable()
    return executor.record


def export_to(
    layouts: Sequence[str],
    folder: RunFolder,
    overrides: Sequence[str] = (),
    progress: ProgressReport | None = None,
) -> RunRecord:
    """Adds `layouts` to the export of an existing run and returns the record.

    Existing layouts stay; `run.yaml` then lists all of them.
    """
    from pairaug.export import formats_in

    if any(override.partition("=")[0].strip() == "export.formats" for override in overrides):
        raise SettingsError(
            "--to adds layouts to the export, and export.formats replaces them; use one of the two"
        )
    with hold_lock(folder.path):
        folder.remove_leftovers()  # restores the previous export if writing a new one was killed
    both = dict.fromkeys([*formats_in(folder.result("export")), *layouts])
    named = f"export.formats=[{', '.join(both)}]"
    return run_stage("export", folder, [*overrides, named], progress, layouts=layouts)


def _make_stage(executor: RunExecutor, stage: str) -> None:
    before = STAGES[STAGES.index(stage) - 1] if stage != STAGES[0] else None
    current = executor.fingerprint_of(
        stage, executor.fingerprint_on_disk(before) if before else None
    )
    _check_may_make(executor, current)
    executor.write_record([current])
    executor.make(current)


def _check_may_make(executor: RunExecutor, current: StageFingerprint) -> None:
    stage, folder = current.stage, executor.folder
    try:
        check_unchanged(folder, executor.record, [current])
    except RunError as error:
        later = [name for name in STAGES[STAGES.index(stage) :] if folder.stage(name).exists()]
        names = ", ".join(str(folder.stage(name)) for name in later)
        recorded = executor.record.fingerprints.get(stage, {}).get("inputs", {})
        changes = ", ".join(differences(recorded, current.inputs)) or "an earlier stage"
        raise RunError(
            f"{folder.stage(stage)} was written with other settings ({changes}). "
            f"To make it again, delete {names} and repeat the command."
        ) from error


def _check_after_parts(executor: RunExecutor) -> None:
    """Raises if `export` or `summary` were written with other settings of their own."""
    for step in AFTER_PARTS:
        recorded = executor.record.fingerprints.get(step, {}).get("inputs")
        if recorded is None or not executor.folder.result(step).exists():
            continue
        changes = differences(recorded, own_settings(step, executor.settings))
        if changes:
            raise RunError(
                f"the {step} of {executor.folder.path} was written with other settings "
                f"({', '.join(changes)}). To replace it: pairaug {_command(step)} "
                f"{executor.folder.path} --set NAME=VALUE; or pass a new --out folder."
            )


def _changed_settings(stage: str, folder: RunFolder, overrides: Sequence[str]) -> Settings:
    if not folder.settings_path.is_file():
        raise RunError(
            f"{folder.path} is not a run: it has no run.yaml. "
            f"Start one with: pairaug run CONFIG --out {folder.path}"
        )
    before = load_settings(folder.settings_path)
    after = change_settings(before, overrides)
    old, new = (flatten(each.model_dump(mode="json")) for each in (before, after))
    foreign = [
        name
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not name.startswith(f"{stage}.")
    ]
    if foreign:
        raise SettingsError(
            f"pairaug {_command(stage)} can change only settings of {stage}, not {foreign[0]}"
        )
    return after


def _command(stage: str) -> str:
    return "summarize" if stage == "summary" else stage
