"""What every reader offers: a stream of real pairs, and where they come from.

Splitting by patient is here too, because every dataset without splits of its own needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pydantic import Field, model_validator

from pairaug.pair import Pair
from pairaug.settings import StageSettings

if TYPE_CHECKING:
    from pairaug.readers.normalize import RawRecord

Split = Literal["train", "validation", "test"]
Access = Literal["public", "credentialed", "private"]

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
"""What datasets call the splits, in lower case."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a dataset comes from, and what its users have agreed to."""

    source: str
    """The layout, as in the setting `read.source`."""
    name: str
    """What the dataset is called; the first part of its pairs' ids."""
    licence: str
    access: Access
    """`credentialed`: signed for, such as PhysioNet. `private`: a hospital's own."""
    citation: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that lists the pairs, by name: another listing is another dataset."""


class Reader(Protocol):
    """The real pairs of one dataset, streamed in the order of its files; each pass starts anew.

    A study that cannot be used comes out as a dropped pair with its reason.
    """

    def __iter__(self) -> Iterator[Pair]: ...

    def records(self) -> Iterator[RawRecord]:
        """What the layout lists, as it stands: no image is decoded, nothing is checked."""
        ...

    def describe(self) -> Provenance: ...


@runtime_checkable
class Counted(Protocol):
    """A reader that can say how much it lists without going through the reports."""

    def count(self) -> int | None:
        """How many pairs it will yield, dropped ones included; None where that is not known."""
        ...


class StatedTerms(StageSettings):
    """The terms of a dataset that no layout knows, as its user states them."""

    licence: str = Field(default="not stated", description="The licence that exports inherit.")
    access: Access = Field(
        default="private",
        description="Terms of access: public, credentialed (as PhysioNet) or private.",
    )
    citation: str = Field(default="", description="How the source asks to be cited.")


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
