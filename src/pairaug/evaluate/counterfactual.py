"""Edits of phantoms against the true counterfactual: same patient, changed findings.

The true counterfactual is known for phantoms only, because they can be rendered again with other
findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from pairaug.errors import DataError
from pairaug.evaluate.counterfactual_methods import METHODS, EditBatch, EditingBenchmark
from pairaug.evaluate.edits import (
    NOT_USED,
    CounterfactualEdit,
    EditMetrics,
    Rewritten,
    distances,
    make_edit,
    score_edits,
)
from pairaug.evaluate.models import open_classifier, open_generator
from pairaug.evaluate.results import text_table, write_result
from pairaug.pair import Branch, Pair, Report
from pairaug.phantom.study import Study, sample_study
from pairaug.stage import RunContext, batched, seed_for

if TYPE_CHECKING:
    from pairaug.diffusion.pipeline import Pipeline
    from pairaug.evaluate.classifier import FindingsClassifier

# Phantoms tried for each edit wanted, before the benchmark gives up.
_PATIENCE = 20


class CounterfactualSettings(EditingBenchmark):
    """Edits of phantoms against their true counterfactuals."""

    num_edits: int = Field(
        256, ge=1, description="Number of edits, each of another phantom patient."
    )
    methods: tuple[str, ...] = Field(
        tuple(METHODS),
        description="Methods to compare; the default is all of them. `free`, the reference of the "
        "relative distance, is always included.",
    )

    @field_validator("methods")
    @classmethod
    def _exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in METHODS:
                raise ValueError(f"{name!r} is not a method; the methods are {', '.join(METHODS)}")
        return names


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
        batch = EditBatch(
            pipeline,
            np.stack([edit.source for edit in group]),
            np.stack([edit.truth for edit in group]),
            [(edit.before, edit.after) for edit in group],
            [seed_for(settings.seed, edit.study.patient_id, "counterfactual") for edit in group],
            settings,
        )
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
            METHODS[name].label,
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
