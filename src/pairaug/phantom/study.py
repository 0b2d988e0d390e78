"""Phantom patients and their studies by number: any study can be sampled without the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pairaug.phantom.anatomy import Anatomy, sample_anatomy
from pairaug.phantom.describe import describe
from pairaug.phantom.findings import Finding, sample_findings
from pairaug.phantom.render import RenderedImage, render
from pairaug.phantom.reword import reword

# Each sample has a stream of its own, so that a change in one leaves the others as they are.
_ANATOMY, _FINDINGS, _REPORT, _REWORDED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Study:
    """One visit of one phantom patient: build, findings, and the report on them."""

    seed: int
    index: int
    visit: int
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    findings_text: str
    impression_text: str

    @property
    def patient_id(self) -> str:
        """Such as `phantom-000001` for `index` 1; it names no real person."""
        return f"phantom-{self.index:06d}"

    @property
    def text(self) -> str:
        """The report as it is prompted: impression, then findings."""
        return f"{self.impression_text} {self.findings_text}"

    def render(self, size: int = 128) -> RenderedImage:
        """The image of this study, `size` pixels a side."""
        return render(self.anatomy, self.findings, size)

    def report(self, variant: int) -> tuple[str, str]:
        """(findings section, impression) in the words of report `variant`; 0 is the study's own."""
        rng = _stream(self.seed, self.index, _REPORT, self.visit, variant)
        return describe(self.anatomy, self.findings, rng)

    def reworded(self, variant: int) -> str:
        """A text of the same meaning as somebody who changed a report would leave it."""
        rng = _stream(self.seed, self.index, _REWORDED, self.visit, variant)
        return reword(self.findings, describe(self.anatomy, self.findings, rng), rng)


def sample_study(seed: int, index: int, visit: int = 0) -> Study:
    """The study of patient `index` at `visit`; the same whichever others are sampled.

    Visits of one patient share the anatomy and differ in findings and words.
    """
    anatomy = sample_anatomy(_stream(seed, index, _ANATOMY))
    findings = sample_findings(_stream(seed, index, _FINDINGS, visit))
    words = describe(anatomy, findings, _stream(seed, index, _REPORT, visit, 0))
    return Study(seed, index, visit, anatomy, findings, *words)


def _stream(seed: int, index: int, *purpose: int) -> np.random.Generator:
    # Seed and index are non-negative, as SeedSequence asks.
    return np.random.default_rng(np.random.SeedSequence([seed, index, *purpose]))
