"""Numbers about predictions and films, each with its interval. Arrays in, estimates out."""

from pairaug.metrics.auroc import auroc, column_aurocs, label_aurocs, macro_auroc
from pairaug.metrics.bootstrap import Estimate, bootstrap, mean, ratio, share

__all__ = [
    "Estimate",
    "auroc",
    "bootstrap",
    "column_aurocs",
    "label_aurocs",
    "macro_auroc",
    "mean",
    "ratio",
    "share",
]
