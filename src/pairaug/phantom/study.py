"""Phantom patients and their studies by number, each independent of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pairaug.phantom.anatomy import Anatomy, sample_anatomy
from pairaug.phantom.describe import describe
from pairaug.phantom.findings import Finding, sample_findings
from pairaug.phantom.render import RenderedImage, render
from pairaug.phantom.reword import reword

# One random stream per purpose, so that a change in one leaves the others unchanged.
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
        """For example `phantom-000001` for `index` 1."""
        return f"phantom-{self.index:06d}"

    @property
    def text(self) -> str:
        """The report as used in prompts: impression, then findings."""
        return f"{self.impression_text} {self.findings_text}"

    def render(self, size: int = 128) -> RenderedImage:
        """The image of this study, `size` pixels a side."""
        return render(self.anatomy, self.findings, size)

    def report(self, variant: int) -> tuple[str, str]:
        """(findings section, impression) in the wording `variant`; 0 is the study's report."""
        rng = _stream(self.seed, self.index, _REPORT, self.visit, variant)
        return describe(self.anatomy, self.findings, rng)

    def reworded(self, variant: int) -> str:
        """A text with the same findings in the style of a rewritten report."""
        rng = _stream(self.seed, self.index, _REWORDED, self.visit, variant)
        return reword(self.findings, describe(self.anatomy, self.findings, rng), rng)


def sample_study(seed: int, index: int, visit: int = 0) -> Study:
    """The study of patient `index` at `visit`, independent of other studies.

    Visits of one patient share the anatomy and differ in findings and words.
    """
    anatomy = sample_anatomy(_stream(seed, index, _ANATOMY))
    findings = sample_findings(_stream(seed, index, _FINDINGS, visit))
    words = describe(anatomy, findings, _stream(seed, index, _REPORT, visit, 0))
    return Study(seed, index, visit, anatomy, findings, *words)


def _stream(seed: int, index: int, *purpose: int) -> np.random.Generator:
    # Seed and index are non-negative, as SeedSequence requires.
    return np.random.default_rng(np.random.SeedSequence([seed, index, *purpose]))
