"""PairAug: data augmentation for radiology vision-language models.

Generate radiographs from reports, edit them, score and prune the pairs, and train on the rest.
Start with `load_generator`, `load_scorer`, `rewrite`, `prune`, `run` and `load_run`. Names load
when they are first used, so importing this package loads no tensor library.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from pairaug.api.generator import Generator, load_generator
    from pairaug.api.reports import (
        RewrittenReport,
        RewrittenReports,
        extract_findings,
        rewrite,
    )
    from pairaug.api.results import EditedImage, GeneratedImage, GeneratedImages
    from pairaug.api.rules import (
        MeanMargin,
        MismatchQuantile,
        Quantile,
        Threshold,
        TopK,
        prune,
    )
    from pairaug.api.runs import Run, load_run, run
    from pairaug.api.scorer import EditScores, Scorer, load_scorer
    from pairaug.errors import PairAugError
    from pairaug.pair import Branch, Drop, ImageRef, Pair, Report

__all__ = [
    "Branch",
    "Drop",
    "EditScores",
    "EditedImage",
    "GeneratedImage",
    "GeneratedImages",
    "Generator",
    "ImageRef",
    "MeanMargin",
    "MismatchQuantile",
    "Pair",
    "PairAugError",
    "Quantile",
    "Report",
    "RewrittenReport",
    "RewrittenReports",
    "Run",
    "Scorer",
    "Threshold",
    "TopK",
    "extract_findings",
    "load_generator",
    "load_run",
    "load_scorer",
    "prune",
    "rewrite",
    "run",
]

_MODULES = {
    "pairaug.api.generator": ("Generator", "load_generator"),
    "pairaug.api.reports": (
        "RewrittenReport",
        "RewrittenReports",
        "extract_findings",
        "rewrite",
    ),
    "pairaug.api.results": ("EditedImage", "GeneratedImage", "GeneratedImages"),
    "pairaug.api.rules": (
        "MeanMargin",
        "MismatchQuantile",
        "Quantile",
        "Threshold",
        "TopK",
        "prune",
    ),
    "pairaug.api.runs": ("Run", "load_run", "run"),
    "pairaug.api.scorer": ("EditScores", "Scorer", "load_scorer"),
    "pairaug.errors": ("PairAugError",),
    "pairaug.pair": ("Branch", "Drop", "ImageRef", "Pair", "Report"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


class _Package(ModuleType):
    """This package: the functions `run`, `prune` and `rewrite` stand before packages of that name.

    Importing `pairaug.prune.…` would otherwise put the package in the function's place.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
