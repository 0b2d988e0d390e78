"""Images of new patients, generated from their reports."""

from pairaug.generate.settings import DROP_REASONS, GenerateSettings
from pairaug.generate.stage import Generate

__all__ = ["DROP_REASONS", "Generate", "GenerateSettings"]
