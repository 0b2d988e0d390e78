"""The interface of readers: a stream of real pairs, and the provenance of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from pairaug.pair import Pair
from pairaug.readers.normalize import RawRecord
from pairaug.settings import StageSettings

Access = Literal["public", "credentialed", "private"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a dataset comes from, and what its users have agreed to."""

    layout: str
    """The layout, as in the setting `read.layout`."""
    name: str
    """What the dataset is called; the first part of its pairs' ids."""
    license: str
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

    license: str = Field(default="not stated", description="The license that exports inherit.")
    access: Access = Field(
        default="private",
        description="Terms of access: public, credentialed (as PhysioNet) or private.",
    )
    citation: str = Field(default="", description="How the source asks to be cited.")
