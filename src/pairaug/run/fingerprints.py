"""Fingerprints of stages, and errors for a folder whose parts have other fingerprints.

A stage's fingerprint is a hash of its settings, its weights and its input's fingerprint. Batch
sizes are included: on some devices they change the last bits of a result.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pairaug.config import Settings, flatten, load_settings
from pairaug.errors import RunError
from pairaug.manifest import fingerprint, part_fingerprint, part_paths
from pairaug.record import RunRecord
from pairaug.run.device import with_device
from pairaug.run.folder import RunFolder
from pairaug.run.stages import (
    GENERATOR_STAGES,
    MODEL_STAGES,
    STAGES,
    check_allowed,
    open_source,
    phantom_model,
    weights_of,
)
from pairaug.stage import RunContext

log = logging.getLogger(__name__)

_MAX_NAMED = 3

# Settings that do not change a result, such as the path of the cache.
_WITHOUT_EFFECT = (
    "rewrite.cache",
    "rewrite.record",
    "rewrite.recording",  # the hash of its content is included
    "rewrite.audit",
    "rewrite.concurrency",
    "rewrite.budget.",
    "rewrite.api_key_env",
    "rewrite.api_key_file",
    "rewrite.azure.token_env",
    "rewrite.azure.token_file",
    "rewrite.allow_remote",
    "rewrite.local_hosts",
    "rewrite.data_policy",
    "engine",
    "num_workers",
    "preset",  # the values it sets are compared
)


@dataclass(frozen=True, slots=True)
class StageFingerprint:
    """The fingerprint of one stage, and the named inputs that it is a hash of."""

    stage: str
    value: str
    inputs: Mapping[str, Any]

    def as_record(self) -> dict[str, Any]:
        """The entry of `run.json`."""
        return {"fingerprint": self.value, "inputs": dict(self.inputs)}


def stage_fingerprint(
    stage: str, settings: Settings, parent: StageFingerprint | None, record: RunRecord
) -> StageFingerprint:
    """The fingerprint of a stage before pruning. Adds its source and weights to `record`.

    Raises if the source or a model is missing.
    """
    more: dict[str, Any] = {}
    if stage == "read":
        source = open_source(settings, RunContext(settings.seed)).describe()
        record.source = asdict(source)
        more = {"seed": settings.seed, "limit": settings.limit, "part_size": settings.part_size}
        more |= {f"content of {name}": value for name, value in source.hashes.items()}
    elif stage == "rewrite":
        check_allowed(settings)
        if settings.rewrite.backend == "transformers":
            more = {"device": settings.device, "dtype": settings.dtype}
    elif stage in MODEL_STAGES:
        more = {"device": settings.device, "dtype": settings.dtype}
        if stage in GENERATOR_STAGES:
            more["compile"] = settings.compile
    weights = weights_of(stage, settings)
    if weights:
        record.weights[stage] = weights
    record.phantom_models.pop(stage, None)
    if (model := phantom_model(stage, settings)) is not None:
        record.phantom_models[stage] = model
    more |= {f"weights of {model}": value for model, value in weights.items()}
    return fingerprint_of(stage, settings, parent, more)


def prune_fingerprint(
    settings: Settings, parent: StageFingerprint, rule: Mapping[str, Any]
) -> StageFingerprint:
    """The fingerprint of pruning with the fitted numbers in `rule`."""
    return fingerprint_of("prune", settings, parent, flatten({"fitted": rule}))


def fingerprint_of(
    stage: str,
    settings: Settings,
    parent: StageFingerprint | None,
    more: Mapping[str, Any] | None = None,
) -> StageFingerprint:
    """The fingerprint of `stage` from its settings and the inputs in `more`."""
    inputs = {**(more or {}), **own_settings(stage, settings)}
    return StageFingerprint(stage, fingerprint(inputs, parent.value if parent else None), inputs)


def own_settings(stage: str, settings: Settings) -> dict[str, Any]:
    """Settings of one stage that change its output: dotted name → plain value."""
    named = flatten({stage: getattr(settings, stage).model_dump(mode="json")})
    return {name: value for name, value in named.items() if not _is_without_effect(name)}


def _is_without_effect(name: str) -> bool:
    sections = tuple(known for known in _WITHOUT_EFFECT if known.endswith("."))
    return name in _WITHOUT_EFFECT or name.startswith(sections)


def check_unchanged(
    folder: RunFolder, record: RunRecord, fingerprints: list[StageFingerprint]
) -> None:
    """Raises `RunError` if parts in the folder have other fingerprints than `fingerprints`.

    `fingerprints` begins with the first stage; the error names the settings that changed.
    """
    changes: list[str] = []
    for expected in fingerprints:
        recorded = record.fingerprints.get(expected.stage, {})
        changes += differences(recorded.get("inputs", {}), expected.inputs) if recorded else []
        parts = part_paths(folder.stage(expected.stage))
        if any(part_fingerprint(path) != expected.value for path in parts):
            raise RunError(_conflict_message(folder, expected.stage, changes))


def check_started_with(folder: RunFolder, settings: Settings) -> None:
    """Raises `RunError` if the folder was started with other settings, also of later stages.

    If the folder has no parts yet, the run starts again and the changes are logged.
    """
    if not folder.settings_path.is_file():
        return
    started = load_settings(folder.settings_path)
    if "auto" in (started.device, started.dtype):
        started = with_device(started)
    changes = differences(_settings_with_effect(started), _settings_with_effect(settings))
    if changes and any(part_paths(folder.stage(stage)) for stage in STAGES):
        raise RunError(
            f"{folder.path} was started with other settings ({_join_changes(changes)}). Resume "
            f"with: pairaug run {folder.path}; or pass a new --out folder."
        )
    if changes:
        log.warning(
            "%s has no pairs yet; the run starts again with other settings: %s",
            folder.path,
            _join_changes(changes),
        )


def _settings_with_effect(settings: Settings) -> dict[str, Any]:
    named = flatten(settings.model_dump(mode="json"))
    return {name: value for name, value in named.items() if not _is_without_effect(name)}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Changed inputs, such as "seed: 0 → 1"."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        _format_change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _format_change(name: str, old: Any, new: Any) -> str:
    if name.startswith(("weights of ", "content of ")):
        return f"{name}: hash differs"
    return f"{name}: {old} → {new}"


def _join_changes(changes: Sequence[str]) -> str:
    named = ", ".join(changes[:_MAX_NAMED])
    more = len(changes) - _MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _conflict_message(folder: RunFolder, stage: str, changes: list[str]) -> str:
    where = folder.stage(stage)
    if not changes:
        return (
            f"{where} was written with other settings, and {folder.record_path} does not list "
            "them. Pass a new --out folder, or delete this one."
        )
    named = _join_changes(changes)
    if stage == "prune" and all(change.startswith("prune.") for change in changes):
        return (
            f"{where} was made with another rule ({named}). To prune again: "
            f"pairaug prune {folder.path} --set NAME=VALUE; or pass a new --out folder."
        )
    return (
        f"{where} was written with other settings ({named}). Resume with the settings in "
        f"{folder.settings_path}, or pass a new --out folder."
    )
