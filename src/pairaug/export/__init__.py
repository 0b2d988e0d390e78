"""Kept pairs out of a run, in the layouts that training code reads, with a card that says how they
were made.

One file for each layout; `exporter` gives each pair to all of them, `subset` chooses pairs, `place`
puts a finished export in place. Layouts that need an optional library import it when they write.
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
"""Why a kept pair is not in an export; counted in its card and in `export.json`."""

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
    """The layouts that an export holds; none where there is no export."""
    earlier = read_report(folder)
    return earlier.formats if earlier else ()
