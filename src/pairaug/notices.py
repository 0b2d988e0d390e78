"""Warnings and messages about a run, from the facts in `run.json`.

The commands print them, and the summary page and the export's card repeat them word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def notices(facts: Mapping[str, Any]) -> list[str]:
    """Warnings to read before using the kept pairs; empty if there are none."""
    gate = facts.get("gate") or {}
    messages = [phantom_model_warning(facts)]
    if gate and gate["result"] != "passed":
        messages.append(gate_message(gate))
    return [message for message in messages if message]


def phantom_model_warning(facts: Mapping[str, Any]) -> str:
    """A warning about models trained on phantoms only and used on real images; or empty."""
    source, models = facts.get("source") or {}, facts.get("phantom_models") or {}
    if not models or is_simulated(source):
        return ""
    named = ", ".join(f"{stage}.model {_short(model)}" for stage, model in models.items())
    effects = []
    if models.keys() & {"generate", "edit"}:
        effects.append("synthetic images look like phantoms")
    if "score" in models:
        effects.append("scores are meaningless for real images")
    return (
        f"Trained on simulated radiographs (phantoms) only: {named}. "
        f"{source.get('name') or 'This source'} has real images, so {' and '.join(effects)}. "
        "Do not train on these synthetic pairs. Use models that were trained on real radiographs."
    )


def gate_message(gate: Mapping[str, Any]) -> str:
    """One or two sentences: can the scorer tell matching from mismatched reports."""
    pairs, patients = gate["num_pairs"], gate["num_patients"]
    on_pairs = f"{pairs:,} real {_plural(pairs, 'pair')} of {patients:,} "
    on_pairs += _plural(patients, "patient")
    if gate["auroc"] is None:
        message = (
            "It is unknown if this scorer can tell matching from mismatched reports: "
            f"{on_pairs}, with different reports, are too few to measure it (at least "
            f"{gate['min_patients']} patients)."
        )
        if gate["result"] == "too_few":
            return f"{message} Look at the kept pairs before you use them."
        return f"{message} It was trained on phantoms only. {_consequence(gate)}"
    value, low, high = gate["auroc"]
    measured = f"AUROC {value:.2f} [{low:.2f}, {high:.2f}] on {on_pairs}, chance is 0.50"
    if gate["result"] == "passed":
        return f"This scorer can tell matching from mismatched reports: {measured}."
    return (
        f"This scorer cannot tell matching from mismatched reports: {measured}, and the interval "
        f"must lie above {gate['min_auroc']:.2f}. {_consequence(gate)}"
    )


def copies_messages(facts: Mapping[str, Any]) -> list[str]:
    """One sentence per kind of copy: how many were dropped, and the nearest similarity."""
    messages = []
    for name, pairs, others in (
        ("memorised", "kept images", "a real training image"),
        ("duplicate", "kept pairs", "a better kept pair"),
    ):
        found = (facts.get("rule") or {}).get(name)
        if not found:
            continue
        nearest = found.get("nearest")
        messages.append(
            f"{name}: {found['num_found']:,} of {found['num_compared']:,} {pairs} are dropped, "
            f"more similar to {others} than {found['bound']:.4f}, the bound measured on "
            f"{found['num_sampled']:,} real pairs"
            + ("" if nearest is None else f"; the highest similarity is {nearest:.4f}")
        )
    return messages


def keeps_nothing(facts: Mapping[str, Any]) -> bool:
    """True if the scorer failed its gate and every synthetic pair was dropped because of that."""
    gate = facts.get("gate") or {}
    return gate.get("result") == "failed" and gate.get("when_failed") == "drop"


def is_simulated(source: Mapping[str, Any]) -> bool:
    """True if the source is phantoms."""
    return source.get("layout") == "phantom"


def _short(model: str) -> str:
    """A model's name; of a local path only the last part."""
    return PurePath(model).name if model.startswith(("/", "~")) else model


def _consequence(gate: Mapping[str, Any]) -> str:
    if gate["when_failed"] == "warn":
        return "The rules were applied anyway, because prune.gate.when_failed is warn."
    return (
        "No synthetic pair is kept. Use another score.model (in a new folder) or more real pairs. "
        "To apply the rules anyway: pairaug prune RUN --set prune.gate.when_failed=warn"
    )


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"
