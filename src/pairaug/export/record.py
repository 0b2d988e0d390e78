"""What every layout tells of a pair, beside its film."""

from __future__ import annotations

from typing import Any

from pairaug.pair import Branch, Pair


def record_of(pair: Pair, access: str) -> dict[str, Any]:
    """What is known of a pair beside its film, as plain JSON values."""
    return {
        "id": pair.id,
        "branch": pair.branch.value,
        "synthetic": pair.branch is not Branch.REAL,
        "split": pair.split,
        "patient_id": pair.patient_id,
        "parent_id": pair.parent_id,
        "source_patient_id": pair.source_patient_id,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "labels": {name: int(state) for name, state in pair.labels.items() if state is not None},
        "scores": {name: value for name, value in pair.scores.items() if value is not None},
        "access": access,
    }
