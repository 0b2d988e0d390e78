"""The check of the scorer on the run's own real pairs, before any rule is applied.

    AUROC = P(cos(f(x_i), g(y_i)) > cos(f(x_i), g(y_j)))

for real pairs i, j of different patients whose reports differ. At 0.5 the scorer prefers an image's
own report as often as another patient's. The pairs are a sample by hash of their ids, so the number
depends on neither order nor parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pairaug.metrics import own_report_auroc
from pairaug.pair import Branch
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, columns_of_part
from pairaug.prune.sampling import LowestHashes, hashes_of
from pairaug.settings import StageSettings

REASONS = {
    "scorer_cannot_tell": "on the real pairs the scorer does not prefer an image's own report to "
    "another patient's, so it may not prune",
}

SAMPLE_SIZE = 512
MIN_PATIENTS = 20
"""With fewer, the interval is not reliable."""

# Cosines of equal texts differ in their last bits.
_SAME_TEXT = 1.0 - 1e-6


class GateSettings(StageSettings):
    """The test that a scorer must pass on the real pairs before it may prune."""

    min_auroc: float = Field(
        default=0.55,
        ge=0.5,
        lt=1,
        description="The scorer passes if the 95 % interval of its AUROC is wholly above this. "
        "The AUROC is the probability that a real image scores higher with its own report than "
        "with another patient's; 0.5 is chance.",
    )
    when_failed: Literal["drop", "warn"] = Field(
        default="drop",
        description="If the scorer fails: `drop` keeps no synthetic pair, `warn` keeps what the "
        "rules keep. Both are reported in the terminal, on the summary page and on the card.",
    )


class Gate:
    """A sample of the real pairs, and the scorer's AUROC on it."""

    def __init__(self, settings: GateSettings, *, is_foreign: bool = False) -> None:
        self._settings = settings
        self._is_foreign = is_foreign
        self._sample = LowestHashes(SAMPLE_SIZE)

    def add(self, columns: Columns) -> None:
        """Offers the real pairs of a part; those without vectors do not count."""
        if columns.vectors is None:
            return
        rows = columns.rows_of(Branch.REAL)
        rows = rows[columns.vectors.is_there[rows]]
        if len(rows):
            own = columns.vectors.take(rows)
            self._sample.add(columns.ids[rows], columns.patients[rows], own.images, own.reports)

    def measured(self) -> dict[str, Any]:
        """The record: `result` is `passed`, `failed` or `too_few`; `auroc` with its interval.

        With too few pairs to measure, a scorer that was trained on phantoms alone fails on real
        images; of any other nothing is known.
        """
        settings = self._settings
        num_patients, auroc, is_above = 0, None, False
        if len(self._sample):
            patients, images, reports = self._sample.arrays()
            patients = patients.astype(str)
            num_patients = len(np.unique(patients))
            wide = reports.astype(np.float64)
            is_other = (patients[:, None] != patients[None, :]) & (wide @ wide.T < _SAME_TEXT)
            if num_patients >= MIN_PATIENTS and is_other.any():
                cosines = images.astype(np.float64) @ wide.T
                estimate = own_report_auroc(cosines, is_other, groups=patients)
                is_above = estimate.low > settings.min_auroc
                # To six places: further ones differ between machines that multiply.
                bounds = (estimate.value, estimate.low, estimate.high)
                auroc = [round(float(bound), 6) for bound in bounds]
        result = "passed" if is_above else "failed"
        if auroc is None and not self._is_foreign:
            result = "too_few"
        return {
            "result": result,
            "auroc": auroc,
            "num_pairs": len(self._sample),
            "num_patients": num_patients,
            "min_patients": MIN_PATIENTS,
            "is_foreign": self._is_foreign,
            **settings.model_dump(mode="json"),
        }


def measure_gate(
    paths: Sequence[Path], settings: GateSettings, *, is_foreign: bool = False
) -> dict[str, Any]:
    """The record of `Gate.measured`, from vectors in parts on disk.

    `is_foreign`: the scorer was trained on phantoms alone, and the real pairs are none.
    """
    gate = Gate(settings, is_foreign=is_foreign)
    for columns in _sampled_parts(paths):
        gate.add(columns)
    return gate.measured()


def _sampled_parts(paths: Sequence[Path]) -> Iterator[Columns]:
    """The parts that hold the gate's sample, with their vectors; the others' are not read."""
    hashes, places = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    for place, path in enumerate(paths):
        columns = columns_of_part(path)
        own = hashes_of(columns.ids[columns.rows_of(Branch.REAL)])
        hashes.append(own)
        places.append(np.full(len(own), place))
    lowest = np.argsort(np.concatenate(hashes), kind="stable")[:SAMPLE_SIZE]
    for place in np.unique(np.concatenate(places)[lowest]).tolist():
        yield columns_of_part(paths[place], with_vectors=True)


def drops_all(fitted: Mapping[str, Any]) -> bool:
    """True if no synthetic pair is kept because the scorer failed."""
    gate = fitted.get("gate", {})
    return gate.get("result") == "failed" and gate.get("when_failed") == "drop"


def failures_of(fitted: Mapping[str, Any], rows: Iterable[int]) -> Failures:
    """These rows, dropped because the scorer failed."""
    gate = fitted["gate"]
    where = f"{gate['num_pairs']} real pairs"
    detail = f"trained on phantoms; {where} are too few to measure more"
    if gate["auroc"] is not None:
        value, low, high = gate["auroc"]
        detail = f"AUROC {value:.2f} [{low:.2f}, {high:.2f}] on {where}"
    return {int(row): ("scorer_cannot_tell", detail) for row in rows}
