"""Linear probing: a linear layer trained on a frozen image tower with few labels.

The tower encodes every image once. For each fraction of the training patients and each seed, a
layer is trained on the unit vectors; its L2 strength is selected by mean AUROC on the validation
patients. All results are those of the test patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from pairaug.errors import DataError
from pairaug.evaluate.data import (
    Case,
    Features,
    LabelledData,
    chosen_findings,
    features_of,
    open_cases,
)
from pairaug.evaluate.data.settings import PhantomData
from pairaug.evaluate.encoders import CACHE, MODEL, EncoderEvaluation, encoder_record, open_scorer
from pairaug.evaluate.few_labels import patients_for
from pairaug.evaluate.finding_table import averages_of
from pairaug.evaluate.results import text_table, write_result
from pairaug.metrics import SeedMetrics, seed_metrics
from pairaug.metrics.auroc import column_aurocs
from pairaug.metrics.ranking import mean_of_defined, rankings
from pairaug.readers import SplitFractions

_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_SPLITS = ("train", "validation", "test")


class LinearProbeSettings(EncoderEvaluation):
    """Linear probing of an image tower."""

    model: str = MODEL
    data: LabelledData = Field(
        default_factory=PhantomData,
        description="Images and labels; for a run or a reader set `split: all`.",
    )
    test_data: LabelledData | None = Field(
        None, description="Separate test images; null: the data's test patients."
    )
    findings: tuple[str, ...] = Field(
        (), description="Findings to evaluate, by name; empty: all labelled ones."
    )
    aliases: dict[str, str] = Field({}, description="Finding's name in the data → name to use.")
    own_splits: bool = Field(False, description="Use the data's own splits instead of `split`.")
    split: SplitFractions = Field(
        default_factory=lambda: SplitFractions(validation_fraction=0.1, test_fraction=0.3),
        description="Split of the patients.",
    )
    label_fractions: tuple[float, ...] = Field(
        (0.01, 0.1, 1.0), min_length=1, description="Fractions of the training patients."
    )
    num_seeds: int = Field(
        3, ge=1, description="Layers trained per fraction, each on different patients."
    )
    l2: float | None = Field(
        None,
        gt=0,
        description="Strength of the L2 penalty; null: the best on the validation patients of "
        "0.001, 0.01, 0.1, 1 and 10.",
    )
    cache: Path | None = CACHE

    @model_validator(mode="after")
    def _fractions_are_fractions(self) -> LinearProbeSettings:
        if any(not 0 < fraction <= 1 for fraction in self.label_fractions):
            raise ValueError("label_fractions must be above 0 and at most 1")
        return self


@dataclass(frozen=True, slots=True)
class FractionResult:
    """Results of layers on one fraction of the labels."""

    fraction: float
    num_images: tuple[int, ...]
    """Number of training images for each seed."""
    num_patients: tuple[int, ...]
    strengths: tuple[float, ...]
    """L2 strength of each seed's layer."""
    findings: Sequence[SeedMetrics]
    macros: dict[str, SeedMetrics]

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain values."""

        def both(metrics: SeedMetrics) -> dict[str, Any]:
            return {
                "auroc": metrics.auroc.as_dict(),
                "average_precision": metrics.average_precision.as_dict(),
            }

        return {
            "fraction": self.fraction,
            "num_images": list(self.num_images),
            "num_patients": list(self.num_patients),
            "l2": list(self.strengths),
            "macro": {name: both(metrics) for name, metrics in self.macros.items()},
            "findings": {
                name: both(metrics) for name, metrics in zip(names, self.findings, strict=True)
            },
        }


@dataclass(frozen=True, slots=True)
class _Part:
    """The images of one split."""

    vectors: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


def run_linear_probe(
    settings: LinearProbeSettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """Writes `linear-probe.json` and the table `linear-probe.txt`; returns the former's path.

    `report_progress` counts encoded images; images with cached vectors are not counted.
    """
    encoder = open_scorer(settings.model, settings)
    cases = open_cases(settings.data, settings.aliases)
    findings = chosen_findings(cases, settings.findings)
    cache = settings.cache or out / "features"

    def split_of(case: Case) -> str:
        return case.split or "" if settings.own_splits else settings.split.split_of(case.patient_id)

    def encoded(data: Any, source: Any, inputs: Any) -> Features:
        return features_of(
            source,
            data,
            [encoder],
            split_of=split_of,
            cache=cache,
            inputs=inputs,
            report_progress=report_progress,
        )

    inputs = [settings.own_splits, settings.split.model_dump()]
    features = encoded(settings.data, cases, inputs)
    columns = [cases.findings.index(finding) for finding in findings]
    parts = {name: _part(features, features.splits == name, columns) for name in _SPLITS}
    hashes = dict(cases.hashes)
    if settings.test_data is not None:
        others = open_cases(settings.test_data, settings.aliases)
        chosen_findings(others, findings)
        tested = encoded(settings.test_data, others, inputs)
        own = [others.findings.index(finding) for finding in findings]
        parts["test"] = _part(tested, np.ones(len(tested.labels), dtype=bool), own)
        hashes |= dict(others.hashes)
    _check(settings, parts)
    results = [_probe(settings, fraction, parts, findings) for fraction in settings.label_fractions]
    content = {
        "benchmark": "linear-probe",
        "settings": settings.model_dump(mode="json"),
        "model": encoder_record(settings.model, encoder),
        "data": {"source": cases.source, "hashes": hashes},
        "images_left_out": features.unusable,
        "num_images": {name: len(part.labels) for name, part in parts.items()},
        "num_patients": {name: len(np.unique(part.patients)) for name, part in parts.items()},
        "findings": {
            name: {
                "num_positive": int((column == 1).sum()),
                "num_negative": int((column == 0).sum()),
            }
            for name, column in zip(findings, parts["test"].labels.T, strict=True)
        },
        "label_fractions": [result.as_json(findings) for result in results],
    }
    table = _format(settings, cases.source, parts, findings, results)
    return write_result(out, "linear-probe", content, table)


def _part(features: Features, rows: np.ndarray, columns: Sequence[int]) -> _Part:
    return _Part(
        features.vectors[0][rows], features.labels[rows][:, columns], features.patients[rows]
    )


def _check(settings: LinearProbeSettings, parts: dict[str, _Part]) -> None:
    """Raises `DataError` if a required split has no images."""
    needed = ["train", "test"] if settings.l2 is not None else list(_SPLITS)
    empty = [name for name in needed if not len(parts[name].labels)]
    if not empty:
        return
    hint = (
        "set l2, or give it a fraction" if empty == ["validation"] else "see own_splits and split"
    )
    if getattr(settings.data, "split", "all") not in ("all", None):
        hint = "set data.split to all"
    raise DataError(f"there are no images of the split {empty[0]}; {hint}")


def _probe(
    settings: LinearProbeSettings, fraction: float, parts: dict[str, _Part], findings: Sequence[str]
) -> FractionResult:
    """Layers on one fraction of the training patients, one for each seed."""
    train, test = parts["train"], parts["test"]
    scores, images, patients, strengths = [], [], [], []
    for seed in range(settings.seed, settings.seed + settings.num_seeds):
        rows = patients_for(fraction, train.labels, train.patients, seed)
        chosen = _Part(train.vectors[rows], train.labels[rows], train.patients[rows])
        logits, strength = _train(settings, chosen, parts["validation"], test.vectors, seed)
        scores.append(logits)
        images.append(int(rows.sum()))
        patients.append(len(np.unique(chosen.patients)))
        strengths.append(strength)
    # A layer that saw one class only has learned nothing: its finding cannot be evaluated.
    labels = np.where(_is_of_one_class(train.labels), np.nan, test.labels)
    metrics = seed_metrics(
        labels,
        scores,
        averages_of(findings),
        settings.seed,
        test.patients,
        settings.num_resamples,
    )
    return FractionResult(fraction, tuple(images), tuple(patients), tuple(strengths), *metrics)


def _train(
    settings: LinearProbeSettings, train: _Part, validation: _Part, test: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """(logits of the test images, L2 strength) of a layer on `train`."""
    from pairaug.evaluate.linear_head import fit_head

    if settings.l2 is not None:
        return fit_head(train.vectors, train.labels, settings.l2, seed).logits(test), settings.l2
    best = None
    for strength in _STRENGTHS:
        head = fit_head(train.vectors, train.labels, strength, seed)
        columns = rankings(validation.labels, head.logits(validation.vectors))
        once = np.ones((1, len(validation.labels)))
        value = float(mean_of_defined(column_aurocs(columns, once))[0])
        # If validation patients have too few findings (NaN), the weakest penalty stays.
        if best is None or value > best[0]:
            best = value, strength, head
    assert best is not None
    return best[2].logits(test), best[1]


def _format(
    settings: LinearProbeSettings,
    source: str,
    parts: dict[str, _Part],
    findings: Sequence[str],
    results: Sequence[FractionResult],
) -> str:
    test = parts["test"]
    rows = [
        [name, *map(str, _counts(column)), *(_cell(result.findings[index]) for result in results)]
        for index, (name, column) in enumerate(zip(findings, test.labels.T, strict=True))
    ]
    rows += [
        [f"mean over {name}", "", "", *(_cell(result.macros[name]) for result in results)]
        for name in averages_of(findings)
    ]
    names = [f"{100 * result.fraction:g} % of labels" for result in results]
    sizes = "\n".join(
        f"{name}: {_range(result.num_images)} images of {_range(result.num_patients)} patients, "
        f"L2 {_range(result.strengths)}."
        for name, result in zip(names, results, strict=True)
    )
    table = text_table(("", "present", "absent", *names), rows)
    return (
        f"Linear probe on {len(test.labels)} images of {len(np.unique(test.patients))} patients "
        f"({source}), {settings.num_seeds} seeds\n\n{table}\n\n"
        "AUROC: mean ± standard deviation over seeds; brackets: 95% bootstrap intervals, "
        f"{settings.num_resamples} resamples of patients and seeds.\n{sizes}"
        + _unevaluable(parts, findings)
    )


def _unevaluable(parts: dict[str, _Part], findings: Sequence[str]) -> str:
    """A line about findings left out of means; empty if there are none."""
    is_out = _is_of_one_class(parts["train"].labels) | _is_of_one_class(parts["test"].labels)
    names = [name for name, out in zip(findings, is_out, strict=True) if out]
    if not names:
        return ""
    return (
        "\nNot evaluable and left out of means (one class only in training or in the test): "
        f"{', '.join(names)}."
    )


def _counts(labels: np.ndarray) -> tuple[int, int]:
    """(images with the finding, images without it)."""
    return int((labels == 1).sum()), int((labels == 0).sum())


def _is_of_one_class(labels: np.ndarray) -> np.ndarray:
    """True for each finding with one class only among the images that state it; `finding`."""
    return ~((labels == 1).any(axis=0) & (labels == 0).any(axis=0))


def _cell(metrics: SeedMetrics) -> str:
    text = str(metrics.auroc)
    return "-" if text == "undefined" else text


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
