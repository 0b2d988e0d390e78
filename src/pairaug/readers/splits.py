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
"""Name of a split in datasets, lower case → split."""


class SplitFractions(StageSettings):
    """Split of patients, for datasets without splits or instead of theirs."""

    use: Literal["own", "hashed"] = Field(
        default="own",
        description="`own`: use the dataset's splits if it has them; `hashed`: always split by a "
        "hash of the patient's id and the fractions below.",
    )
    validation_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of patients for validation."
    )
    test_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of patients for testing."
    )
    seed: int = Field(default=0, description="Seed of the split; independent of the run's seed.")

    @model_validator(mode="after")
    def _leaves_something(self) -> SplitFractions:
        if self.validation_fraction + self.test_fraction > 1:
            raise ValueError("validation_fraction and test_fraction together exceed 1")
        return self

    def split_of(self, patient_id: str) -> Split:
        """The patient's split, from a hash of the id and the seed, so independent of the order."""
        digest = blake2b(f"{self.seed}\0{patient_id}".encode(), digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64
        if position < self.test_fraction:
            return "test"
        return "validation" if position < self.test_fraction + self.validation_fraction else "train"
