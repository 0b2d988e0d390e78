"""Intra edits of phantoms against the true counterfactual: same patient, changed findings.

Only phantoms can be generated again with other findings, so only here is the right answer known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import Field

from pairaug.errors import DataError
from pairaug.evaluate.edits import (
    NOT_USED,
    Edit,
    EditMetrics,
    Rewritten,
    distances,
    make_edit,
    score_edits,
)
from pairaug.evaluate.models import PhantomBenchmark, open_classifier, open_generator
from pairaug.evaluate.results import text_table, write_result
from pairaug.pair import Branch, Pair, Report
from pairaug.phantom.study import Study, sample_study
from pairaug.stage import RunContext, batched, seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.control import EditOptions, GuidanceFrom
    from pairaug.diffusion.inversion import Inversion
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.evaluate.classifier import FindingsClassifier

Method = Literal[
    "inverted",
    "inverted_no_region",
    "inverted_no_swap",
    "inverted_no_drift",
    "inverted_from_report",
    "inverted_from_report_no_drift",
    "regenerated",
    "free",
    "untouched",
    "source",
    "truth",
]

METHODS: Mapping[str, str] = {
    "inverted": "inverted source",
    "inverted_no_region": "inverted source, no region",
    "inverted_no_swap": "inverted source, no swap",
    "inverted_no_drift": "inverted source, no drift",
    "inverted_from_report": "inverted source, guided from its report",
    "inverted_from_report_no_drift": "the same, no drift",
    "regenerated": "regenerated source (paper)",
    "free": "generated from the changed report",
    "untouched": "the source as it is",
    "source": "VAE round trip of the source",
    "truth": "VAE round trip of the right answer",
}
"""What is compared. `untouched` is what doing nothing is worth; `truth` is the best that can be."""

# Rewritten reports that give no edit, per edit wanted, before we give up.
_PATIENCE = 20


class CounterfactualSettings(PhantomBenchmark):
    """Edits of phantoms against their right answers."""

    num_edits: int = Field(64, ge=1, description="Edits, each of another phantom patient.")
    methods: tuple[Method, ...] = Field(
        get_args(Method),
        description="What is compared; `free` is always generated, as the yardstick.",
    )
    cross_replace: float = Field(
        0.3, ge=0, le=1, description="Fraction of the steps with the source's cross-attention."
    )
    self_replace: float = Field(
        0.1, ge=0, le=1, description="Fraction of the steps with the source's self-attention."
    )
    alignment: Literal["refine", "substitute", "blend"] = Field(
        "blend",
        description="Which tokens of the two reports share their maps, and whether the change is "
        "kept inside a region.",
    )
    blend_by: Literal["difference", "attention"] = Field(
        "difference", description="How that region is found, as for `edit`."
    )
    blend_threshold: float = Field(
        0.35, gt=0, lt=1, description="Where the region of `blend` ends, as for `edit`."
    )


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The benchmark's outcome."""

    num_edits: int
    not_used: Mapping[str, int]
    """Rewritten reports that gave no edit, by reason."""
    changes: Mapping[str, int]
    methods: Mapping[str, EditMetrics]


def run_counterfactual(
    settings: CounterfactualSettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """The path of `counterfactual.json` in the folder `out`; the table is in `counterfactual.txt`.

    `report_progress` is told of images just made: `num_edits` of them for each method.
    """
    pipeline, classifier = open_generator(settings), open_classifier(settings)
    edits, not_used = draw_edits(
        settings.seed, settings.num_edits, pipeline.image_size, rules_rewriter(settings.seed)
    )
    result = compare(pipeline, classifier, edits, settings, not_used, report_progress)
    content = {
        "benchmark": "counterfactual",
        "settings": settings.model_dump(mode="json"),
        "models": {"generator": pipeline.sha256, "classifier": classifier.sha256},
        **as_json(result),
    }
    return write_result(out, "counterfactual", content, format_counterfactual(result))


def rules_rewriter(seed: int) -> Callable[[Study], Rewritten | None]:
    """The `rewrite` stage's text for a study's report, by rules; None where it is dropped."""
    from pairaug.rewrite import Rewrite, RewriteSettings

    settings = RewriteSettings(backend="rules", branches=("intra",))
    stage = Rewrite(settings, RunContext(seed=seed))

    def rewrite(study: Study) -> Rewritten | None:
        report = Report(study.findings_text, study.impression_text)
        pair = Pair(study.patient_id, Branch.REAL, study.patient_id, report)
        made = [child for child in stage([pair]) if child.branch is Branch.INTRA]
        return next(
            (
                Rewritten(child.source_report or "", child.report.text)
                for child in made
                if child.drop is None
            ),
            None,
        )

    return rewrite


def draw_edits(
    seed: int,
    num_edits: int,
    size: int,
    rewrite: Callable[[Study], Rewritten | None],
) -> tuple[list[Edit], dict[str, int]]:
    """Edits of phantom patients 0, 1, 2 and so on, their reports changed by `rewrite`.

    With them the number of rewritten reports that gave none, by reason.
    """
    edits: list[Edit] = []
    not_used: Counter[str] = Counter()
    index = 0
    while len(edits) < num_edits:
        study = sample_study(seed, index)
        edit = make_edit(study, rewrite(study), size)
        if isinstance(edit, Edit):
            edits.append(edit)
        else:
            not_used[edit] += 1
        index += 1
        if index >= _PATIENCE * num_edits:
            raise DataError(
                f"of {index} phantoms only {len(edits)} gave an edit ({dict(not_used)})"
            )
    return edits, dict(not_used)


def compare(
    pipeline: Pipeline,
    classifier: FindingsClassifier,
    edits: Sequence[Edit],
    settings: CounterfactualSettings,
    not_used: Mapping[str, int] | None = None,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Counterfactual:
    """The edits made by each method, and what they are worth."""
    names = [name for name in METHODS if name in settings.methods or name == "free"]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for group in batched(edits, settings.batch_size):
        batch = _Batch(pipeline, group, settings)
        for name in names:
            parts[name].append(batch.images(name))
            report_progress(len(group))
    images = {name: np.concatenate(part) for name, part in parts.items()}
    failed = {name: ~np.isfinite(made).all(axis=(1, 2)) for name, made in images.items()}
    for name, made in images.items():
        made[failed[name]] = 0.0
    free = distances(images["free"], edits)
    scores = {
        name: score_edits(
            made,
            classifier.reads(classifier.probabilities(made)),
            edits,
            free,
            int(failed[name].sum()),
        )
        for name, made in images.items()
    }
    changes = Counter(edit.change for edit in edits)
    return Counterfactual(len(edits), dict(not_used or {}), dict(sorted(changes.items())), scores)


def format_counterfactual(result: Counterfactual) -> str:
    """The table, one line per method, and what the columns mean."""
    rows = [
        [
            METHODS[name],
            *(str(number) for number in (s.distance, s.ratio, s.skill, s.hits, s.altered)),
            str(s.kept),
            str(s.invented),
        ]
        for name, s in result.methods.items()
    ]
    header = ("", "distance", "of free", "skill", "change read", "altered", "kept", "invented")
    changes = ", ".join(f"{count} {change}" for change, count in result.changes.items())
    not_used = ", ".join(f"{count} {reason}" for reason, count in sorted(result.not_used.items()))
    failed = {name: s.num_failed for name, s in result.methods.items() if s.num_failed}
    lines = [
        f"{result.num_edits} edits of new phantom patients (simulated): {changes}",
        "",
        text_table(header, rows),
        "",
        "distance: mean absolute difference to the true counterfactual, images from 0 to 1;",
        "of free: that distance over the one of images generated freely from the changed report;",
        "skill: 1 less the squared error over that of the untouched source; 1 is the right answer;",
        "change read: edits in which every finding to appear or go has, by the classifier;",
        "altered: edits of severity, zone or kind whose image is nearer the right answer;",
        "kept, invented: findings to stay that are still read, and absent ones that are read.",
        "Brackets: 95 % bootstrap intervals over edits.",
    ]
    if not_used:
        lines.append(f"Rewritten reports that gave no edit: {not_used}.")
    if failed:
        lines.append(f"Images that failed and count as black: {failed}.")
    return "\n".join(lines)


def as_json(result: Counterfactual) -> dict[str, Any]:
    """The result as plain values."""
    return {
        "num_edits": result.num_edits,
        "changes": dict(result.changes),
        "not_used": {reason: result.not_used.get(reason, 0) for reason in NOT_USED},
        "methods": {
            name: {
                "distance": scores.distance.as_dict(),
                "ratio_to_free": scores.ratio.as_dict(),
                "skill": scores.skill.as_dict(),
                "hits": scores.hits.as_dict(),
                "hits_by_change": {
                    change: estimate.as_dict() for change, estimate in scores.hits_by_change.items()
                },
                "altered": scores.altered.as_dict(),
                "kept": scores.kept.as_dict(),
                "invented": scores.invented.as_dict(),
                "num_failed": scores.num_failed,
                "each_distance": [round(value, 6) for value in scores.each_distance],
                "each_hit": list(scores.each_hit),
            }
            for name, scores in result.methods.items()
        },
    }


class _Batch:
    """Some of the edits, made by one method after the other; sources are inverted once for all."""

    def __init__(
        self, pipeline: Pipeline, edits: Sequence[Edit], settings: CounterfactualSettings
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._source = np.stack([edit.source for edit in edits])
        self._truth = np.stack([edit.truth for edit in edits])
        prompts = [pipeline.fit_prompts(edit.before, edit.after) for edit in edits]
        self._before = [before.text for before, _ in prompts]
        self._after = [after.text for _, after in prompts]
        # The same noise for what is generated freely and what is edited from a regenerated source.
        self._seeds = [
            seed_for(settings.seed, edit.study.patient_id, "counterfactual") for edit in edits
        ]

    def images(self, method: str) -> np.ndarray:
        """float32 `image height width`, NaN where the model went astray."""
        match method:
            case "untouched":
                return self._source.copy()
            case "source" | "truth":
                images = self._source if method == "source" else self._truth
                return self._pipeline.decode_latents(self._pipeline.encode_latents(images))
            case "free":
                return self._free()
            case "regenerated":
                return self._regenerated()
            case _:
                return self._inverted(method)

    @cached_property
    def _inversion(self) -> Inversion:
        from pairaug.diffusion.inversion import invert_images

        return invert_images(self._pipeline, self._source, self._before, self._settings.num_steps)

    def _free(self) -> np.ndarray:
        from pairaug.diffusion.sampling import SamplingOptions, generate_images

        options = SamplingOptions(self._settings.num_steps, self._settings.guidance_scale)
        return generate_images(self._pipeline, self._after, self._seeds, options, len(self._seeds))

    def _regenerated(self) -> np.ndarray:
        from pairaug.diffusion.editing import edit_regenerated

        options, seeds = self._options(blends=False), self._seeds
        made = edit_regenerated(self._pipeline, self._before, self._after, seeds, options)
        return made.images

    def _inverted(self, method: str) -> np.ndarray:
        from pairaug.diffusion.editing import edit_inverted

        options = self._options(
            swaps=method != "inverted_no_swap",
            drift=not method.endswith("_no_drift"),
            blends=method != "inverted_no_region",
            guidance_from="source-report" if "from_report" in method else "empty",
        )
        places = range(len(self._after))
        return edit_inverted(self._pipeline, self._inversion, self._after, options, places).images

    def _options(
        self,
        swaps: bool = True,
        drift: bool = True,
        blends: bool = True,
        guidance_from: GuidanceFrom = "empty",
    ) -> EditOptions:
        from pairaug.diffusion.control import EditOptions

        settings = self._settings
        # Without its region, `blend` is `refine`.
        is_whole = settings.alignment == "blend" and not blends
        return EditOptions(
            num_steps=settings.num_steps,
            guidance_scale=settings.guidance_scale,
            guidance_from=guidance_from,
            drift=drift,
            alignment="refine" if is_whole else settings.alignment,
            blend_by=settings.blend_by,
            blend_threshold=settings.blend_threshold,
            cross_replace=settings.cross_replace if swaps else 0.0,
            self_replace=settings.self_replace if swaps else 0.0,
        )
