"""PairAug: more image-report pairs for training medical vision-language models.

Importing this package loads no tensor library.
"""

from __future__ import annotations

from pairaug.errors import PairAugError
from pairaug.pair import Branch, Drop, ImageRef, Pair, Report
from pairaug.stage import Context, Stage, batched, chain, seed_for

__version__ = "0.2.0.dev0"

__all__ = [
    "Branch",
    "Context",
    "Drop",
    "ImageRef",
    "Pair",
    "PairAugError",
    "Report",
    "Stage",
    "batched",
    "chain",
    "seed_for",
]
