"""Agreement of generated images with their reports, measured on new phantom patients.

Every metric is also computed on the patients' true images: classifier and scorer are imperfect, and
that is the upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pairaug.evaluate.models import (
    BUNDLED,
    PhantomBenchmark,
    open_classifier,
    open_generator,
    resolve_device,
)
from pairaug.evaluate.results import text_table, write_result
from pairaug.metrics import Estimate, fraction, label_aurocs, macro_auroc, mean, paired_auroc
from pairaug.phantom.findings import LABELS, label_vector
from pairaug.phantom.study import Study, sample_study
from pairaug.stage import seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline


class FidelitySettings(PhantomBenchmark):
    """Fidelity of a generator and a scorer on phantoms."""

    scorer: str = Field(BUNDLED, description="`bundled`, a transformers CLIP folder, or a hub id.")
    num_patients: int = Field(256, ge=2, description="New phantom patients, one image each.")


@dataclass(frozen=True, slots=True)
class LabelFidelity:
    """One finding: its number of images, and its metrics on true and generated images."""

    label: str
    num_positive: int
    generated: Estimate
    true: Estimate


@dataclass(frozen=True, slots=True)
class Reading:
    """Classifier metrics on one kind of image."""

    macro_auroc: Estimate
    """Mean over labels of the AUROC of the stated findings."""
    side_right: Estimate
    """Fraction of one-sided findings with the higher probability on their own side."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Fidelity of generated images, classifier and scorer on phantoms."""

    num_patients: int
    num_failed: int
    """Images for which the generator returned NaN; they count as black images."""
    generated: Reading
    true: Reading
    labels: tuple[LabelFidelity, ...]
    round_trip: Estimate
    """Mean absolute difference of true images and their VAE reconstructions, on a 0-1 scale."""
    scorer_true: Estimate
    """AUROC of the scorer's cosine between true pairs and pairs with another patient's report."""
    scorer_generated: Estimate
    """The same with generated images."""


def run_fidelity(
    settings: FidelitySettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """Writes `fidelity.json` and the table `fidelity.txt` to `out`; returns the former's path.

    `report_progress` counts generated images, `settings.num_patients` in all.
    """
    from pairaug.clip.encoders import open_encoder
    from pairaug.clip.folder import scorer_folder

    pipeline, classifier = open_generator(settings), open_classifier(settings)
    studies = [sample_study(settings.seed, index) for index in range(settings.num_patients)]
    true = np.stack([study.render(pipeline.image_size).image for study in studies])
    generated, num_failed = _generated(pipeline, studies, settings, report_progress)
    round_trips = round_trip_errors(pipeline, true)
    folder = scorer_folder(settings.scorer)
    encoder = open_encoder(folder, device=resolve_device(settings.device))
    reports = encoder.encode_reports([study.text for study in studies])
    result = measure_fidelity(
        np.stack([label_vector(study.findings) for study in studies]),
        {"true": classifier.probabilities(true), "generated": classifier.probabilities(generated)},
        {
            "true": encoder.encode_images(list(true)) @ reports.T,
            "generated": encoder.encode_images(list(generated)) @ reports.T,
        },
        round_trips,
        num_failed,
    )
    models = {
        "generator": pipeline.sha256,
        "classifier": classifier.sha256,
        "scorer": encoder.weights_sha256,
    }
    content = {
        "benchmark": "fidelity",
        "settings": settings.model_dump(mode="json"),
        "models": models,
        **as_json(result),
    }
    return write_result(out, "fidelity", content, format_fidelity(result))


def measure_fidelity(
    findings: np.ndarray,
    probabilities: dict[str, np.ndarray],
    cosines: dict[str, np.ndarray],
    round_trips: np.ndarray,
    num_failed: int = 0,
) -> Fidelity:
    """All metrics from arrays, under the keys "true" and "generated" where there are both.

    `findings` and `probabilities` are `image label`, in the order of `LABELS`; `cosines` is `image
    report`, own reports on the diagonal; `round_trips` has one error per image.
    """
    columns = {kind: label_aurocs(findings, scores) for kind, scores in probabilities.items()}
    return Fidelity(
        num_patients=len(findings),
        num_failed=num_failed,
        generated=_reading(findings, probabilities["generated"]),
        true=_reading(findings, probabilities["true"]),
        labels=tuple(
            LabelFidelity(
                label,
                int(findings[:, column].sum()),
                columns["generated"][column],
                columns["true"][column],
            )
            for column, label in enumerate(LABELS)
        ),
        round_trip=mean(round_trips),
        scorer_true=matching_auroc(cosines["true"]),
        scorer_generated=matching_auroc(cosines["generated"]),
    )


def side_hits(findings: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """For each one-sided finding, True if its own side has the higher probability.

    Booleans, over all images and all kinds of finding with a left and a right label.
    """
    hits: list[np.ndarray] = []
    for label in LABELS:
        if not label.startswith("left "):
            continue
        left, right = LABELS.index(label), LABELS.index(label.replace("left", "right", 1))
        one_sided = findings[:, left] != findings[:, right]
        is_left = findings[one_sided, left] > 0
        reads_left = probabilities[one_sided, left] - probabilities[one_sided, right]
        hits.append(np.where(is_left, reads_left > 0, reads_left < 0))
    return np.concatenate(hits)


def matching_auroc(cosines: np.ndarray, seed: int = 0) -> Estimate:
    """Probability that an image's own report scores above another patient's, over all images.

    `cosines` is `image report`, own reports on the diagonal. Each image gets one other report, by a
    random cycle through all of them; both scores of an image are resampled together.
    """
    order = np.random.default_rng(seed).permutation(len(cosines))
    other = np.empty_like(order)
    # A cycle has no fixed point: no image gets its own report.
    other[order] = np.roll(order, 1)
    shuffled = cosines[np.arange(len(cosines)), other]
    return paired_auroc(np.diagonal(cosines), shuffled, seed)


def round_trip_errors(pipeline: Pipeline, images: np.ndarray) -> np.ndarray:
    """Mean absolute difference between each image and its VAE reconstruction, on a 0-1 scale."""
    decoded = pipeline.decode_latents(pipeline.encode_latents(images))
    return np.abs(decoded - images).mean(axis=(1, 2), dtype=np.float64)


def format_fidelity(result: Fidelity) -> str:
    """The table: summary metrics, then every finding."""
    undefined = "-"
    rows = [
        ["macro AUROC of stated findings", result.generated.macro_auroc, result.true.macro_auroc],
        ["right side, one-sided findings", result.generated.side_right, result.true.side_right],
        ["scorer AUROC, own report or other", result.scorer_generated, result.scorer_true],
        ["VAE round trip, mean difference", undefined, f"{result.round_trip.value:.4f}"],
    ]
    labels = [
        [f"  {row.label} ({row.num_positive})", row.generated, row.true] for row in result.labels
    ]
    table = text_table(
        ("", "generated", "true images"), [[str(cell) for cell in row] for row in rows + labels]
    )
    failed = f"; {result.num_failed} images failed" if result.num_failed else ""
    return (
        f"Fidelity on {result.num_patients} new phantom patients (simulated){failed}\n\n{table}\n\n"
        "Brackets: 95 % bootstrap intervals over patients. Findings: AUROC (images that have it)."
    )


def as_json(result: Fidelity) -> dict[str, Any]:
    """The result as plain values."""
    return {
        "num_patients": result.num_patients,
        "num_failed": result.num_failed,
        **{
            kind: {
                "macro_auroc": reading.macro_auroc.as_dict(),
                "side_right": reading.side_right.as_dict(),
                "scorer_auroc": scorer.as_dict(),
            }
            for kind, reading, scorer in (
                ("generated", result.generated, result.scorer_generated),
                ("true", result.true, result.scorer_true),
            )
        },
        "round_trip": result.round_trip.as_dict(),
        "labels": {
            row.label: {
                "num_positive": row.num_positive,
                "generated": row.generated.as_dict(),
                "true": row.true.as_dict(),
            }
            for row in result.labels
        },
    }


def _reading(findings: np.ndarray, probabilities: np.ndarray) -> Reading:
    return Reading(
        macro_auroc(findings, probabilities), fraction(side_hits(findings, probabilities))
    )


def _generated(
    pipeline: Pipeline,
    studies: Sequence[Study],
    settings: FidelitySettings,
    report_progress: Callable[[int], None],
) -> tuple[np.ndarray, int]:
    """One generated image per study's report, and the number that failed."""
    from pairaug.diffusion.sampling import SamplingOptions, generate_images

    options = SamplingOptions(settings.num_inference_steps, settings.guidance_scale)
    generated: list[np.ndarray] = []
    for start in range(0, len(studies), settings.batch_size):
        group = studies[start : start + settings.batch_size]
        prompts = [pipeline.fit_prompt(study.text).text for study in group]
        seeds = [seed_for(settings.seed, study.patient_id, "fidelity") for study in group]
        generated.append(generate_images(pipeline, prompts, seeds, options, settings.batch_size))
        report_progress(len(group))
    images = np.concatenate(generated)
    failed = ~np.isfinite(images).all(axis=(1, 2))
    images[failed] = 0.0
    return images, int(failed.sum())
