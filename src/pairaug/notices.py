"""Sentences that a run owes its reader, from the facts in `run.json`: the same ones everywhere.

They are printed by `doctor` and at the end of commands, and stand on the page and on the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def notices(facts: Mapping[str, Any]) -> list[str]:
    """Warnings to be read before the kept pairs are trusted; empty if there are none."""
    gate = facts.get("gate") or {}
    told = [of_phantom_models(facts)]
    if gate and gate["verdict"] != "passed":
        told.append(of_gate(gate))
    return [sentence for sentence in told if sentence]


def of_phantom_models(facts: Mapping[str, Any]) -> str:
    """A warning that names models trained on phantoms alone, on other real pairs; or empty."""
    source, models = facts.get("source") or {}, facts.get("phantom_models") or {}
    if not models or is_simulated(source):
        return ""
    named = ", ".join(f"{stage}.model {_short(model)}" for stage, model in models.items())
    effects = []
    if models.keys() & {"generate", "edit"}:
        effects.append("synthetic images look like simulated ones")
    if "score" in models:
        effects.append("scores say nothing about real images")
    return (
        f"Trained on simulated radiographs (phantoms) alone: {named}. The pairs of "
        f"{source.get('name') or 'this source'} are not simulated, so {' and '.join(effects)}. "
        "This run shows that the chain works, and its synthetic pairs are not for training. "
        "Name models that were trained on real radiographs."
    )


def of_gate(gate: Mapping[str, Any]) -> str:
    """A sentence that says if the scorer may decide, from pruning's record."""
    pairs, patients = gate["num_pairs"], gate["num_patients"]
    on_pairs = f"{pairs:,} real {_plural(pairs, 'pair')} of {patients:,} "
    on_pairs += _plural(patients, "patient")
    if gate["auroc"] is None:
        told = (
            f"Whether this scorer tells these images' reports from others' is not known: {on_pairs}"
            f", with different reports, are too few to measure (at least {gate['min_patients']} "
            "patients)."
        )
        if gate["verdict"] == "too_few":
            return f"{told} Look at the kept pairs before you use them."
        return f"{told} It was trained on phantoms alone. {_consequence(gate)}"
    value, low, high = gate["auroc"]
    measured = f"AUROC {value:.2f} [{low:.2f}, {high:.2f}] on {on_pairs}, where 0.50 is chance"
    if gate["verdict"] == "passed":
        return f"This scorer tells these images' reports from others': {measured}."
    return (
        f"This scorer does not tell these images' reports from others': {measured} and "
        f"{gate['min_auroc']:.2f} must lie below the interval; its scores cannot decide what to "
        f"keep. {_consequence(gate)}"
    )


def of_copies(facts: Mapping[str, Any]) -> list[str]:
    """A sentence with the copies that were found, and the similarity of the nearest pairs."""
    told = []
    for name, pairs, others in (
        ("memorised", "kept images", "a real training image"),
        ("duplicate", "kept pairs", "a better kept pair"),
    ):
        found = (facts.get("rule") or {}).get(name)
        if not found:
            continue
        nearest = found.get("nearest")
        told.append(
            f"{name}: {found['num_found']:,} of {found['num_compared']:,} {pairs} are dropped, "
            f"being more similar to {others} than {found['bound']:.4f}, the bound by "
            f"{found['num_sampled']:,} real pairs"
            + ("" if nearest is None else f"; the nearest similarity found is {nearest:.4f}")
        )
    return told


def keeps_nothing(facts: Mapping[str, Any]) -> bool:
    """True if the scorer may not decide, and every synthetic pair was dropped for it."""
    gate = facts.get("gate") or {}
    return gate.get("verdict") == "failed" and gate.get("when_failed") == "drop"


def is_simulated(source: Mapping[str, Any]) -> bool:
    """True for phantoms."""
    return source.get("layout") == "phantom"


def _short(model: str) -> str:
    """A model's name without the folders of this machine."""
    return PurePath(model).name if model.startswith(("/", "~")) else model


def _consequence(gate: Mapping[str, Any]) -> str:
    if gate["when_failed"] == "warn":
        return "The rules decided by them all the same, since prune.gate.when_failed is warn."
    return (
        "No synthetic pair is kept. Score with another model (score.model, in a new folder) or on "
        "more real pairs; to keep what the rules keep all the same: pairaug prune RUN "
        "--set prune.gate.when_failed=warn"
    )


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"
