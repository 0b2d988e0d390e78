"""Images edited to what a patient's changed report says."""

from pairaug.edit.settings import DROP_REASONS, EditSettings
from pairaug.edit.stage import Edit

__all__ = ["DROP_REASONS", "Edit", "EditSettings"]
