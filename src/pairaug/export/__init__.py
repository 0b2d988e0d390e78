"""Kept pairs out of a run, in the layouts that training code reads, with a card that says how they
were made. One file for each layout; `exporter` chooses pairs and puts a finished export in place.
"""

from __future__ import annotations

from pairaug.export.exporter import DROP_REASONS, Export, ExportReport, ExportSettings

__all__ = ["DROP_REASONS", "Export", "ExportReport", "ExportSettings"]
