"""Edits of phantoms against the true counterfactual: same patient, changed findings.

The true counterfactual is known for phantoms only, because they can be rendered again with other
findings.
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
    CounterfactualEdit,
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
    from pairaug.diffusion.edit_plan import EditOptions, NegativePrompt
    from pairaug.diffusion.inversion import Inversion
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.evaluate.classifier import FindingsClassifier

Method = Literal[
    "inverted",
    "inverted_no_region",
    "inverted_no_swap",
    "inverted_no_correction",
    "inverted_source_prompt",
    "inverted_source_prompt_no_correction",
    "regenerated",
    "free",
    "untouched",
    "source",
    "truth",
]

METHODS: Mapping[str, str] = {
    "inverted": "inverted source (default)",
    "inverted_no_region": "no local blend",
    "inverted_no_swap": "no attention swap",
    "inverted_no_correction": "no drift correction",
    "inverted_source_prompt": "source report as negative prompt",
    "inverted_source_prompt_no_correction": "source report as negative prompt, no drift correction",
    "regenerated": "regenerated source (paper)",
    "free": "generated from the changed report",
    "untouched": "unedited source",
    "source": "autoencoder round trip of the source",
    "truth": "autoencoder round trip of the true counterfactual",
}
"""The methods compared. `untouched` is the baseline without an edit, `truth` the upper bound."""

# Phantoms tried for each edit wanted, before the benchmark gives up.
_PATIENCE = 20


class CounterfactualSettings(PhantomBenchmark):
    """Edits of phantoms against their true counterfactuals."""

    num_edits: int = Field(
        64, ge=1, description="Number of edits, each of another phantom patient."
    )
    methods: tuple[Method, ...] = Field(
        get_args(Method),
        description="Methods to compare. `free`, the reference of the relative distance, is always "
        "included.",
    )
    cross_replace_steps: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Fraction of the steps that use the source's cross-attention maps.",
    )
    self_replace_steps: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Fraction of the steps that use the source's self-attention maps.",
    )
    alignment: Literal["refine", "replace"] = Field(
        "refine", description="Tokens that reuse the source's attention maps, as in `edit`."
    )
    local_blend: Literal["none", "difference"] = Field(
        "difference",
        description="`difference` changes only the region where the model's predictions differ "
        "between the two reports; `none` lets the whole image change.",
    )
    blend_threshold: float = Field(
        0.35, gt=0, lt=1, description="Border of the region of `local_blend`, as in `edit`."
    )


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The results of the benchmark."""

    num_edits: int
    not_used: Mapping[str, int]
    """Number of rewritten reports that gave no edit, by reason."""
    changes: Mapping[str, int]
    methods: Mapping[str, EditMetrics]


def run_counterfactual(
    settings: CounterfactualSettings,
    out: Path,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Path:
    """Runs the benchmark; returns the path of `counterfactual.json` in the folder `out`.

    The table is in `counterfactual.txt` beside it. `report_progress` is called with the number of
    images just made: in all, `num_edits` for each method.
    """
    pipeline, classifier = open_generator(settings), open_classifier(settings)
    edits, not_used = sample_edits(
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
    """A function that rewrites a study's report by rules; None if the rewrite is dropped."""
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


def sample_edits(
    seed: int,
    num_edits: int,
    size: int,
    rewrite: Callable[[Study], Rewritten | None],
) -> tuple[list[CounterfactualEdit], dict[str, int]]:
    """Edits of phantom patients 0, 1, 2 and so on, their reports changed by `rewrite`.

    Also returns the number of rewritten reports that gave no edit, by reason.
    """
    edits: list[CounterfactualEdit] = []
    not_used: Counter[str] = Counter()
    index = 0
    while len(edits) < num_edits:
        study = sample_study(seed, index)
        edit = make_edit(study, rewrite(study), size)
        if isinstance(edit, CounterfactualEdit):
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
    edits: Sequence[CounterfactualEdit],
    settings: CounterfactualSettings,
    not_used: Mapping[str, int] | None = None,
    report_progress: Callable[[int], None] = lambda num_images: None,
) -> Counterfactual:
    """The scores of each method's edits."""
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
    """The table, one line per method, and the definitions of its columns."""
    rows = [
        [
            METHODS[name],
            *(str(number) for number in (s.distance, s.ratio, s.skill, s.success_rate)),
            *(str(number) for number in (s.partial_success, s.preserved, s.hallucinated)),
        ]
        for name, s in result.methods.items()
    ]
    header = (
        "method", "distance", "relative distance", "skill", "success rate", "partial success",
        "preserved", "hallucinated",
    )  # fmt: skip
    changes = ", ".join(f"{count} {change}" for change, count in result.changes.items())
    not_used = ", ".join(f"{count} {reason}" for reason, count in sorted(result.not_used.items()))
    failed = {name: s.num_failed for name, s in result.methods.items() if s.num_failed}
    lines = [
        f"{result.num_edits} edits of new phantom patients (simulated): {changes}",
        "",
        text_table(header, rows),
        "",
        "distance: mean absolute difference to the true counterfactual, images from 0 to 1;",
        "relative distance: distance over that of images generated from the changed report alone;",
        "skill: 1 - squared error over that of the unedited source; 1 is the true counterfactual;",
        "success rate: edits in which the classifier finds every change of a finding's presence;",
        "partial success: edits of severity, zone or kind that are nearer to the true",
        "counterfactual than to the source;",
        "preserved: fraction of the unchanged findings that the classifier still finds;",
        "hallucinated: fraction of the absent findings that the classifier finds.",
        "Brackets: 95 % bootstrap intervals over edits.",
    ]
    if not_used:
        lines.append(f"Phantoms without an edit: {not_used}.")
    if failed:
        lines.append(f"Failed images, counted as black: {failed}.")
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
                "success_rate": scores.success_rate.as_dict(),
                "success_rate_by_change": {
                    change: estimate.as_dict()
                    for change, estimate in scores.success_rate_by_change.items()
                },
                "partial_success": scores.partial_success.as_dict(),
                "preserved": scores.preserved.as_dict(),
                "hallucinated": scores.hallucinated.as_dict(),
                "num_failed": scores.num_failed,
                "each_distance": [round(value, 6) for value in scores.each_distance],
                "each_success": list(scores.each_success),
            }
            for name, scores in result.methods.items()
        },
    }


class _Batch:
    """A batch of edits, made by one method after the other; its sources are inverted once."""

    def __init__(
        self,
        pipeline: Pipeline,
        edits: Sequence[CounterfactualEdit],
        settings: CounterfactualSettings,
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._source = np.stack([edit.source for edit in edits])
        self._truth = np.stack([edit.truth for edit in edits])
        prompts = [pipeline.fit_prompts(edit.before, edit.after) for edit in edits]
        self._before = [before.text for before, _ in prompts]
        self._after = [after.text for _, after in prompts]
        # The same noise for free generation and for edits of a regenerated source.
        self._seeds = [
            seed_for(settings.seed, edit.study.patient_id, "counterfactual") for edit in edits
        ]

    def images(self, method: str) -> np.ndarray:
        """The images of one method, float32 `image height width`, NaN where the model gave NaN."""
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

        return invert_images(
            self._pipeline, self._source, self._before, self._settings.num_inference_steps
        )

    def _free(self) -> np.ndarray:
        from pairaug.diffusion.sampling import SamplingOptions, generate_images

        options = SamplingOptions(self._settings.num_inference_steps, self._settings.guidance_scale)
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
            correct_drift=not method.endswith("_no_correction"),
            blends=method != "inverted_no_region",
            negative_prompt="source" if "source_prompt" in method else "empty",
        )
        places = range(len(self._after))
        return edit_inverted(self._pipeline, self._inversion, self._after, options, places).images

    def _options(
        self,
        swaps: bool = True,
        correct_drift: bool = True,
        blends: bool = True,
        negative_prompt: NegativePrompt = "empty",
    ) -> EditOptions:
        from pairaug.diffusion.edit_plan import EditOptions

        settings = self._settings
        return EditOptions(
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            negative_prompt=negative_prompt,
            correct_drift=correct_drift,
            alignment=settings.alignment,
            local_blend=settings.local_blend if blends else "none",
            blend_threshold=settings.blend_threshold,
            cross_replace_steps=settings.cross_replace_steps if swaps else 0.0,
            self_replace_steps=settings.self_replace_steps if swaps else 0.0,
        )
