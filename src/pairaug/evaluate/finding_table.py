"""The table of findings: number of images, AUROC and average precision, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pairaug.evaluate.prompts import CHEXPERT_FIVE
from pairaug.evaluate.results import text_table
from pairaug.metrics import FindingMetrics, MacroMetrics, finding_metrics
from pairaug.metrics.bootstrap import LEVEL
from pairaug.metrics.findings import FEW


@dataclass(frozen=True, slots=True)
class FindingTable:
    """Metrics of findings, with the images they are over; its text is the table."""

    findings: Mapping[str, FindingMetrics]
    macros: Mapping[str, MacroMetrics]
    """`all`, and `chexpert five` where the data has some of the five."""
    num_images: int
    num_patients: int
    num_resamples: int
    unusable: Mapping[str, int]

    @property
    def size(self) -> str:
        """Such as "500 images of 400 patients"."""
        return f"{self.num_images} images of {self.num_patients} patients"

    @property
    def inverted(self) -> list[str]:
        """Findings whose AUROC is below 0.5 by more than its interval."""
        return [name for name, metrics in self.findings.items() if metrics.is_inverted]

    @property
    def not_evaluable(self) -> list[str]:
        """Findings with one class only, or without labels."""
        return [name for name, metrics in self.findings.items() if not metrics.is_evaluable]

    @property
    def scarce(self) -> list[str]:
        """Findings whose intervals are unreliable."""
        return [name for name, metrics in self.findings.items() if metrics.is_scarce]

    def as_json(self) -> dict[str, Any]:
        """The table as plain values; null where a number is undefined."""
        return {
            "num_images": self.num_images,
            "num_patients": self.num_patients,
            "images_left_out": dict(self.unusable),
            "intervals": {"resamples": self.num_resamples, "level": LEVEL, "resampled": "patients"},
            "macro": {
                name: {
                    "num_findings": macro.num_findings,
                    "auroc": macro.auroc.as_dict(),
                    "average_precision": macro.average_precision.as_dict(),
                }
                for name, macro in self.macros.items()
            },
            "findings": {
                name: {
                    "num_positive": metrics.num_positive,
                    "num_negative": metrics.num_negative,
                    "is_evaluable": metrics.is_evaluable,
                    "is_inverted": metrics.is_inverted,
                    "auroc": metrics.auroc.as_dict(),
                    "average_precision": metrics.average_precision.as_dict(),
                }
                for name, metrics in self.findings.items()
            },
        }

    def __str__(self) -> str:
        rows = [
            [
                name,
                str(metrics.num_positive),
                str(metrics.num_negative),
                *_cells(metrics.is_evaluable, metrics),
            ]
            for name, metrics in self.findings.items()
        ]
        rows += [
            [f"mean over {name} ({macro.num_findings})", "", "", *_cells(macro.num_findings, macro)]
            for name, macro in self.macros.items()
        ]
        table = text_table(("", "present", "absent", "AUROC", "average precision"), rows)
        notes = [
            f"Brackets: {LEVEL:.0%} bootstrap intervals, {self.num_resamples} resamples of "
            "patients."
        ]
        if self.not_evaluable:
            notes.append(
                "Not evaluable and left out of means (one class only, or no labels): "
                f"{', '.join(self.not_evaluable)}."
            )
        if self.scarce:
            notes.append(
                f"Fewer than {FEW} images of one class, so the interval is too narrow: "
                f"{', '.join(self.scarce)}."
            )
        if self.unusable:
            reasons = ", ".join(f"{name} {num}" for name, num in sorted(self.unusable.items()))
            notes.append(f"Images left out: {reasons}.")
        return "\n".join([table, "", *notes])


def finding_table(
    names: Sequence[str],
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    unusable: Mapping[str, int],
    seed: int,
    num_resamples: int,
) -> FindingTable:
    """The table of scores against labels, both `image finding` in the order of `names`."""
    averages = averages_of(names)
    findings, macros = finding_metrics(labels, scores, averages, seed, patients, num_resamples)
    return FindingTable(
        dict(zip(names, findings, strict=True)),
        macros,
        len(labels),
        len(np.unique(patients)),
        num_resamples,
        unusable,
    )


def averages_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns of each mean."""
    averages = {"all": list(range(len(names)))}
    five = [names.index(name) for name in CHEXPERT_FIVE if name in names]
    return averages | ({"CheXpert five": five} if five else {})


def _cells(is_evaluable: object, metrics: FindingMetrics | MacroMetrics) -> list[str]:
    if not is_evaluable:
        return ["-", "-"]
    return [str(metrics.auroc), str(metrics.average_precision)]
