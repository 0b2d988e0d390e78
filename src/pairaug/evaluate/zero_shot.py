"""Zero-shot classification: each finding's positive caption against its negative one.

    p = exp(cos(f(x), t+)) / (exp(cos(f(x), t+)) + exp(cos(f(x), t-)))

for an image x, where t+ and t- are the unit means of the unit vectors of the positive and of the
negative captions (Tiu et al. 2022, CheXzero). The cosines are plain: no learned temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from pairaug.errors import ModelError
from pairaug.evaluate.data import (
    Cases,
    Features,
    LabelledData,
    chosen_findings,
    features_of,
    open_cases,
)
from pairaug.evaluate.data.settings import PhantomData
from pairaug.evaluate.encoders import CACHE, EncoderEvaluation, encoder_record, open_scorer
from pairaug.evaluate.finding_table import FindingTable, finding_table
from pairaug.evaluate.prompts import OWN_TEMPLATES, TEMPLATES, Captions, TemplatePair, captions_of
from pairaug.evaluate.results import write_result

if TYPE_CHECKING:
    from pairaug.clip.encoders import Encoder

Probabilities = Float32[np.ndarray, "image finding"]

_IMAGES_AT_ONCE = 256


class ZeroShotSettings(EncoderEvaluation):
    """Zero-shot classification of findings."""

    models: tuple[str, ...] = Field(
        ("bundled",),
        min_length=1,
        description="One model or several checkpoints, whose probabilities are averaged: "
        "`bundled`, folders or hub ids of CLIP, SigLIP, MedCLIP or CheXzero models.",
    )
    data: LabelledData = Field(default_factory=PhantomData, description="Images and labels.")
    findings: tuple[str, ...] = Field(
        (), description="Findings to evaluate, by name; empty: all labelled ones."
    )
    aliases: dict[str, str] = Field({}, description="Finding's name in the data → name to use.")
    captions: dict[str, str] = Field(
        {}, description="Finding → its wording in captions, if different from its name."
    )
    templates: tuple[TemplatePair, ...] = Field(
        TEMPLATES,
        min_length=1,
        description="Pairs of a positive and a negative caption; {} is the finding.",
    )
    own_templates: dict[str, tuple[TemplatePair, ...]] = Field(
        {},
        description="Finding → its own pairs of captions. By default only `no finding` has one: no "
        "acute cardiopulmonary abnormality, against one.",
    )
    cache: Path | None = CACHE


def findings_probabilities(
    encoder: Encoder,
    images: Iterable[np.ndarray] | np.ndarray,
    findings: Sequence[str],
    templates: Sequence[TemplatePair] = TEMPLATES,
    own_templates: Mapping[str, Sequence[TemplatePair]] = OWN_TEMPLATES,
) -> Probabilities:
    """Probability of each finding on each image, in (0, 1), by the encoder alone.

    An image is `height width`: float in [0, 1] or uint8; an array is `image height width`.
    Every template pair is (positive, negative) with `{}` for the finding; `own_templates` replaces
    those of single findings. Cosines have no temperature here, so all values are near 0.5: only
    ranks are meaningful.
    """
    directions = caption_directions(encoder, captions_of(findings, templates, own_templates))
    rows = [
        probabilities_of(encoder.encode_images(group), *directions)
        for group in _groups(images, _IMAGES_AT_ONCE)
    ]
    return np.concatenate([np.zeros((0, len(findings)), np.float32), *rows])


def caption_directions(
    encoder: Encoder, captions: Mapping[str, Captions]
) -> tuple[np.ndarray, np.ndarray]:
    """(positive, negative) unit vectors of all findings, float32 `finding dimension` each.

    Several captions are averaged as unit vectors and normalized.
    """
    if not encoder.encodes_reports:
        raise ModelError(
            "zero-shot evaluation needs a text tower, and this model encodes images only; "
            "use pairaug evaluate linear-probe instead"
        )
    # Each caption once: findings may share captions.
    texts = list(
        dict.fromkeys(text for each in captions.values() for text in each.positive + each.negative)
    )
    vectors = dict(zip(texts, encoder.encode_reports(texts), strict=True))
    sides = [
        [_unit_mean([vectors[text] for text in side]) for side in (each.positive, each.negative)]
        for each in captions.values()
    ]
    return np.stack([side[0] for side in sides]), np.stack([side[1] for side in sides])


def probabilities_of(
    images: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> Probabilities:
    """Softmax over both cosines, from unit vectors: images' `image dimension`, captions'."""
    # The softmax over two is the logistic function of their difference.
    margins = images.astype(np.float64) @ (positive.astype(np.float64) - negative).T
    return (1.0 / (1.0 + np.exp(-margins))).astype(np.float32)


def run_zero_shot(
    settings: ZeroShotSettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """Writes `zero-shot.json` and the table `zero-shot.txt` to `out`; returns the former's path.

    `report_progress` counts encoded images.
    """
    cases = open_cases(settings.data, settings.aliases)
    findings = chosen_findings(cases, settings.findings)
    own = {**OWN_TEMPLATES, **settings.own_templates}
    captions = captions_of(findings, settings.templates, own, settings.captions)
    encoders = [open_scorer(model, settings) for model in settings.models]
    directions = [caption_directions(encoder, captions) for encoder in encoders]
    features = features_of(
        cases, settings.data, encoders, cache=settings.cache, report_progress=report_progress
    )
    each = [
        probabilities_of(vectors, *sides)
        for vectors, sides in zip(features.vectors, directions, strict=True)
    ]
    table = _table_of(settings, cases, findings, features, np.mean(each, axis=0))
    models: list[dict[str, Any]] = [
        encoder_record(model, encoder)
        for model, encoder in zip(settings.models, encoders, strict=True)
    ]
    content: dict[str, Any] = {
        "benchmark": "zero-shot",
        "settings": settings.model_dump(mode="json"),
        "models": models,
        "captions": {finding: asdict(each) for finding, each in captions.items()},
        "data": {"source": cases.source, "hashes": dict(cases.hashes)},
        **table.as_json(),
    }
    if len(each) > 1:
        alone = [_table_of(settings, cases, findings, features, one) for one in each]
        for record, own_table in zip(models, alone, strict=True):
            record["macro_auroc"] = own_table.macros["all"].auroc.as_dict()
    return write_result(out, "zero-shot", content, _format(settings, cases, table))


def _table_of(
    settings: ZeroShotSettings,
    cases: Cases,
    findings: Sequence[str],
    features: Features,
    probabilities: np.ndarray,
) -> FindingTable:
    columns = [cases.findings.index(finding) for finding in findings]
    return finding_table(
        findings,
        features.labels[:, columns],
        probabilities,
        features.patients,
        features.unusable,
        settings.seed,
        settings.num_resamples,
    )


def _format(settings: ZeroShotSettings, cases: Cases, table: FindingTable) -> str:
    num = len(settings.models)
    models = "one model" if num == 1 else f"{num} models, probabilities averaged"
    heading = f"Zero-shot on {table.size} ({cases.source}), {models}"
    inverted = table.inverted
    warning = (
        "\n\nBelow one half by more than the interval: "
        f"{', '.join(inverted)}. Do the captions ask for the opposite? See own_templates."
    )
    return f"{heading}\n\n{table}" + (warning if inverted else "")


def _unit_mean(vectors: Sequence[np.ndarray]) -> np.ndarray:
    if len(vectors) == 1:
        return vectors[0]
    mean = np.mean(np.stack(vectors).astype(np.float64), axis=0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def _groups(images: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    group: list[np.ndarray] = []
    for image in images:
        group.append(_in_unit_range(image))
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _in_unit_range(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255.0)
    return np.asarray(image, dtype=np.float32)
