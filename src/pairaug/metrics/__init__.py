"""Metrics of predictions and images with confidence intervals. Arrays in, estimates out."""

from pairaug.metrics.auroc import (
    auroc,
    label_aurocs,
    macro_auroc,
    own_report_auroc,
    paired_auroc,
)
from pairaug.metrics.bootstrap import Estimate, bootstrap, fraction, mean, ratio
from pairaug.metrics.findings import FindingMetrics, MacroMetrics, finding_metrics
from pairaug.metrics.paired import PairedMacros, compare_macros, paired_macro_difference
from pairaug.metrics.precision import average_precision, label_average_precisions
from pairaug.metrics.seeds import SeedMetric, SeedMetrics, seed_metrics

__all__ = [
    "Estimate",
    "FindingMetrics",
    "MacroMetrics",
    "PairedMacros",
    "SeedMetric",
    "SeedMetrics",
    "auroc",
    "average_precision",
    "bootstrap",
    "compare_macros",
    "finding_metrics",
    "fraction",
    "label_aurocs",
    "label_average_precisions",
    "macro_auroc",
    "mean",
    "own_report_auroc",
    "paired_auroc",
    "paired_macro_difference",
    "ratio",
    "seed_metrics",
]
