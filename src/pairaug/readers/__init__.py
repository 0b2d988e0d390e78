"""Readers: real pairs from what is on disk, one file for each dataset layout."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.readers.reader import Access, Provenance, Reader, Split, SplitShares
from pairaug.readers.table import TableReader, TableSource
from pairaug.stage import Context

__all__ = [
    "Access",
    "PhantomSource",
    "Provenance",
    "ReadSettings",
    "Reader",
    "Split",
    "SplitShares",
    "TableSource",
    "open_reader",
]

ReadSettings = Annotated[PhantomSource | TableSource, Field(discriminator="source")]
"""The settings of `read`: those of the layout that `source` names."""


def open_reader(settings: PhantomSource | TableSource, context: Context) -> Reader:
    """The reader of the layout that `settings` describe."""
    match settings:
        case PhantomSource():
            return PhantomReader(settings, context)
        case TableSource():
            return TableReader(settings, context)
