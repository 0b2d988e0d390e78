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
    """Origin of a dataset, and its terms of use."""

    layout: str
    """The layout, as in the setting `read.layout`."""
    name: str
    """Name of the dataset; the first part of its pairs' ids."""
    license: str
    access: Access
    """`credentialed`: needs a signed agreement, as PhysioNet. `private`: a hospital's own."""
    citation: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that lists the pairs, by name; identifies the dataset."""


class Reader(Protocol):
    """The real pairs of one dataset, streamed in the order of its files; each pass restarts.

    An unusable study is a dropped pair with its reason.
    """

    def __iter__(self) -> Iterator[Pair]: ...

    def records(self) -> Iterator[RawRecord]:
        """Raw records of the layout, unchecked, without decoding images."""
        ...

    def describe(self) -> Provenance: ...


@runtime_checkable
class Counted(Protocol):
    """A reader that can count its pairs without reading the reports."""

    def count(self) -> int | None:
        """Number of pairs that it will yield, including dropped ones; None if unknown."""
        ...


class StatedTerms(StageSettings):
    """License, access and citation of a dataset, stated by its user."""

    license: str = Field(
        default="not stated", description="License of the dataset; exports inherit it."
    )
    access: Access = Field(
        default="private",
        description="Terms of access: public, credentialed (as PhysioNet) or private.",
    )
    citation: str = Field(default="", description="Citation of the source.")
