"""Splits by patient: a dataset's own, or fractions by a hash of the patient's id."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from pydantic import Field, model_validator

from pairaug.settings import StageSettings

Split = Literal["train", "validation", "test"]

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Name of a split in datasets, in lower case → split."""


class SplitFractions(StageSettings):
    """How patients are divided where the dataset does not say, or is not to be asked."""

    use: Literal["own", "hashed"] = Field(
        default="own",
        description="`own`: the dataset's splits where it has them; `hashed`: the fractions below, "
        "by a hash of the patient's id, whatever it says.",
    )
    validation_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of patients for validation."
    )
    test_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of patients kept for tests."
    )
    seed: int = Field(
        default=0, description="Another seed is another division; the run's seed is not."
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> SplitFractions:
        if self.validation_fraction + self.test_fraction > 1:
            raise ValueError("validation_fraction and test_fraction together exceed 1")
        return self

    def split_of(self, patient_id: str) -> Split:
        """The patient's split: a hash of the id and the seed alone, so that no order matters."""
        digest = blake2b(f"{self.seed}\0{patient_id}".encode(), digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        if position < self.test_fraction:
            return "test"
        return "validation" if position < self.test_fraction + self.validation_fraction else "train"
