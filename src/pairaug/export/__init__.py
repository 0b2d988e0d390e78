"""Exports a run's kept pairs in the layouts that training code reads, with a dataset card.

One module per layout; `exporter` passes each pair to all of them, `subset` selects the pairs, and
`atomic_folder` replaces an earlier export in one step. A layout that needs an optional library
imports it when it is written.
"""

from __future__ import annotations

from pathlib import Path

from pairaug.export import captions, encoded_image, subset
from pairaug.export.atomic_folder import read_report
from pairaug.export.exporter import Export
from pairaug.export.pair_stream import PartPairs
from pairaug.export.settings import ExportSettings, check_installed
from pairaug.export.tally import ExportReport

DROP_REASONS = {**encoded_image.REASONS, **captions.REASONS, **subset.REASONS}
"""Reasons why a kept pair is not exported; the card and `export.json` count them."""

__all__ = [
    "DROP_REASONS",
    "Export",
    "ExportReport",
    "ExportSettings",
    "PartPairs",
    "check_installed",
    "formats_in",
]


def formats_in(folder: Path) -> tuple[str, ...]:
    """The layouts of the export in `folder`; empty without an export."""
    earlier = read_report(folder)
    return earlier.formats if earlier else ()
