"""Numbers about predictions and films, each with its interval. Arrays in, estimates out."""

from pairaug.metrics.auroc import auroc, label_aurocs, macro_auroc, paired_auroc
from pairaug.metrics.bootstrap import Estimate, bootstrap, mean, ratio, share

__all__ = [
    "Estimate",
    "auroc",
    "bootstrap",
    "label_aurocs",
    "macro_auroc",
    "mean",
    "paired_auroc",
    "ratio",
    "share",
]
