"""Pairs of simulated patients: images and reports are rendered, with the ground truth in the trace.

A phantom has no file, so its image is stored in the pair. Phantoms are not clinical data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import ClassVar, Literal

from pydantic import Field

from pairaug.imaging.io import png_ref
from pairaug.pair import Branch, Pair, Report
from pairaug.phantom.study import Study, sample_study
from pairaug.phantom.truth import true_labels
from pairaug.readers.normalize import RawRecord
from pairaug.readers.reader import Access, Provenance
from pairaug.readers.splits import SplitFractions
from pairaug.settings import StageSettings
from pairaug.stage import RunContext


class PhantomSource(StageSettings):
    """Simulated patients, one study each."""

    access: ClassVar[Access] = "public"

    layout: Literal["phantom"] = Field("phantom", description="The layout: simulated patients.")
    num_patients: int = Field(48, ge=1, description="Number of simulated patients.")
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Seed of the patients; without it, the run's seed."
    )
    size: int = Field(128, ge=32, le=1024, description="Side of each image, in pixels.")
    split: SplitFractions = Field(
        SplitFractions(validation_fraction=0.0, test_fraction=0.0, seed=0),
        description="Split of patients; by default all are for training.",
    )


class PhantomReader:
    """The pairs of simulated patients 0, 1, 2 and so on."""

    def __init__(self, settings: PhantomSource, context: RunContext) -> None:
        self._settings = settings
        self._context = context
        self._seed = context.seed if settings.seed is None else settings.seed

    def describe(self) -> Provenance:
        """Public provenance: the images are simulated."""
        return Provenance(layout="phantom", name="phantom", license="Apache-2.0", access="public")

    def count(self) -> int:
        """Number of patients."""
        return self._settings.num_patients

    def records(self) -> Iterator[RawRecord]:
        """Raw records of the reports; images are rendered only when pairs are read."""
        for index in range(self._settings.num_patients):
            study = sample_study(self._seed, index)
            yield RawRecord(
                where=f"phantom {index}",
                id=f"{index:06d}",
                report=Report(study.findings_text, study.impression_text),
                image=None,
                patient_id=study.patient_id,
            )

    def __iter__(self) -> Iterator[Pair]:
        """One pair per patient; the first N are the same for any larger `num_patients`."""
        for index in range(self._settings.num_patients):
            pair = self._pair(sample_study(self._seed, index))
            self._context.report_progress(1)
            yield pair

    def _pair(self, study: Study) -> Pair:
        """The study as a pair; its trace holds what is needed to render the patient again."""
        size = self._settings.size
        return Pair(
            id=f"phantom/{study.index:06d}",
            branch=Branch.REAL,
            patient_id=study.patient_id,
            report=Report(findings=study.findings_text, impression=study.impression_text),
            split=self._settings.split.split_of(study.patient_id),
            image=png_ref(study.render(size).image),
            labels=dict(true_labels(study.findings)),
        ).with_trace(
            "read",
            layout="phantom",
            seed=study.seed,
            index=study.index,
            visit=study.visit,
            size=size,
            findings=[asdict(finding) for finding in study.findings],
        )
