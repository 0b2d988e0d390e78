"""Readers: real pairs from what is on disk, one file for each dataset layout."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pairaug.readers.chexpert_plus import CheXpertPlusReader, CheXpertPlusSource
from pairaug.readers.chexzero import CheXzeroReader, CheXzeroSource
from pairaug.readers.cxr_folder import CxrFolderReader, CxrFolderSource
from pairaug.readers.huggingface import HuggingFaceReader, HuggingFaceSource
from pairaug.readers.mimic_cxr import MimicCxrReader, MimicCxrSource
from pairaug.readers.normalize import RawRecord
from pairaug.readers.openi import OpenIReader, OpenISource
from pairaug.readers.padchest import PadChestReader, PadChestSource
from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.readers.reader import Access, Counted, Provenance, Reader
from pairaug.readers.splits import Split, SplitFractions
from pairaug.readers.table import TableReader, TableSource
from pairaug.readers.webdataset import WebDatasetReader, WebDatasetSource
from pairaug.stage import RunContext

__all__ = [
    "Access",
    "CheXpertPlusSource",
    "CheXzeroSource",
    "Counted",
    "CxrFolderSource",
    "HuggingFaceSource",
    "MimicCxrSource",
    "OpenISource",
    "PadChestSource",
    "PhantomSource",
    "Provenance",
    "RawRecord",
    "ReadSettings",
    "Reader",
    "ReaderSettings",
    "Split",
    "SplitFractions",
    "TableSource",
    "WebDatasetSource",
    "open_reader",
]

ReaderSettings = (
    PhantomSource
    | TableSource
    | MimicCxrSource
    | OpenISource
    | CheXpertPlusSource
    | PadChestSource
    | HuggingFaceSource
    | WebDatasetSource
    | CxrFolderSource
    | CheXzeroSource
)

ReadSettings = Annotated[ReaderSettings, Field(discriminator="layout")]
"""Settings of `read`: those of the layout named by `layout`."""


def open_reader(settings: ReaderSettings, context: RunContext) -> Reader:
    """Reader of the layout in `settings`."""
    match settings:
        case PhantomSource():
            return PhantomReader(settings, context)
        case TableSource():
            return TableReader(settings, context)
        case MimicCxrSource():
            return MimicCxrReader(settings, context)
        case OpenISource():
            return OpenIReader(settings, context)
        case CheXpertPlusSource():
            return CheXpertPlusReader(settings, context)
        case PadChestSource():
            return PadChestReader(settings, context)
        case HuggingFaceSource():
            return HuggingFaceReader(settings, context)
        case WebDatasetSource():
            return WebDatasetReader(settings, context)
        case CxrFolderSource():
            return CxrFolderReader(settings, context)
        case CheXzeroSource():
            return CheXzeroReader(settings, context)
