"""Edits of phantoms with their true counterfactuals, and the scores of edited images.

Arrays and studies only; `counterfactual.py` makes the edited images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from pairaug.findings import extract
from pairaug.metrics import Estimate, fraction, mean, ratio
from pairaug.phantom.findings import Finding, label_vector
from pairaug.phantom.render import render
from pairaug.phantom.study import Study
from pairaug.phantom.truth import changed_findings, foreign_changes, is_drawable

ChangeKind = Literal["added", "removed", "added and removed", "altered"]

NOT_USED = {
    "no_rewrite": "the rewriter found nothing to change in the report",
    "foreign": "the changed report states a finding that phantoms do not have",
    "not_renderable": "the changed findings cannot be on one image",
    "nothing_changed": "the changed report has the same findings",
}
"""Reasons why a rewritten report gives no edit."""


class Rewritten(NamedTuple):
    """A text before and after rewriting."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CounterfactualEdit:
    """One edit: a patient, the text before and after rewriting, and the image of each."""

    study: Study
    before: str
    after: str
    findings: tuple[Finding, ...]
    """The findings of the changed report."""
    source: np.ndarray
    truth: np.ndarray

    @property
    def asked(self) -> np.ndarray:
        """The change of each of `LABELS`: 1 added, -1 removed, 0 unchanged."""
        change = label_vector(self.findings) - label_vector(self.study.findings)
        return change.astype(int)

    @property
    def change(self) -> ChangeKind:
        """The kind of change; `altered` is another severity, zone, or side of a device."""
        asked = self.asked
        if (asked > 0).any() and (asked < 0).any():
            return "added and removed"
        if (asked > 0).any():
            return "added"
        return "removed" if (asked < 0).any() else "altered"


@dataclass(frozen=True, slots=True)
class EditMetrics:
    """Scores of one method's edited images against the true counterfactuals."""

    distance: Estimate
    """Mean absolute difference to the true counterfactual, on a 0-1 scale."""
    ratio: Estimate
    """The distance over that of images generated from the changed report alone."""
    skill: Estimate
    """1 - |x' - x*|^2 / |x - x*|^2 over all edits: 0 for the unedited source x, 1 for the true
    counterfactual x*."""
    success_rate: Estimate
    """Fraction of the edits that add or remove findings in which the classifier finds every one of
    these changes."""
    success_rate_by_change: Mapping[str, Estimate]
    partial_success: Estimate
    """Of the edits that alter a finding: the fraction whose image is nearer to the true
    counterfactual than to the source (`progress` above 0.5)."""
    preserved: Estimate
    """Fraction of the unchanged findings that the classifier still finds."""
    hallucinated: Estimate
    """Fraction of the findings absent from both reports that the classifier finds."""
    num_failed: int
    each_distance: tuple[float, ...]
    """The distance of each edit, in the order of the edits, so that methods can be paired."""
    each_success: tuple[bool | None, ...]
    """True for each successful edit; None for edits that only alter a finding."""


def make_edit(study: Study, rewritten: Rewritten | None, size: int) -> CounterfactualEdit | str:
    """The edit of `study` to the rewritten report, or a reason of `NOT_USED`."""
    if rewritten is None:
        return "no_rewrite"
    old, new = extract(rewritten.before), extract(rewritten.after)
    if foreign_changes(old, new):
        return "foreign"
    findings = changed_findings(study.findings, old, new, study.anatomy.seed)
    if not is_drawable(findings):
        return "not_renderable"
    if set(findings) == set(study.findings):
        return "nothing_changed"
    truth = render(study.anatomy, findings, size).image
    return CounterfactualEdit(study, *rewritten, findings, study.render(size).image, truth)


def distances(images: np.ndarray, edits: Sequence[CounterfactualEdit]) -> np.ndarray:
    """Mean absolute difference of each image to its true counterfactual, on a 0-1 scale."""
    truths = np.stack([edit.truth for edit in edits])
    return np.abs(images - truths).mean(axis=(1, 2), dtype=np.float64)


def squared_errors(images: np.ndarray, edits: Sequence[CounterfactualEdit]) -> np.ndarray:
    """Mean squared difference of each image to its true counterfactual, on a 0-1 scale."""
    truths = np.stack([edit.truth for edit in edits])
    return np.square(images - truths).mean(axis=(1, 2), dtype=np.float64)


def successes(found: np.ndarray, edits: Sequence[CounterfactualEdit]) -> np.ndarray:
    """True for each edit whose added and removed labels are all right in `found`, `image label`.

    Vacuously true for an edit that only alters a finding: leave those out.
    """
    asked = np.stack([edit.asked for edit in edits])
    done = np.where(asked > 0, found, np.where(asked < 0, ~found, True))
    return np.asarray(done.all(axis=1))


def progress(images: np.ndarray, edits: Sequence[CounterfactualEdit]) -> np.ndarray:
    """The completed part of each change: 0 for the source image, 1 for the true counterfactual.

        <x' - x, x* - x> / |x* - x|^2

    Above 0.5 the image is nearer to the true counterfactual x* than to the source x, along the
    direction in which the two differ; changes elsewhere do not count.
    """
    made = []
    for image, edit in zip(images, edits, strict=True):
        wanted = (edit.truth - edit.source).astype(np.float64)
        made.append(float(((image - edit.source) * wanted).sum() / (wanted**2).sum()))
    return np.array(made)


def score_edits(
    images: np.ndarray,
    found: np.ndarray,
    edits: Sequence[CounterfactualEdit],
    free_distances: np.ndarray,
    num_failed: int = 0,
) -> EditMetrics:
    """All scores of one method; `found` is the classifier's decision, boolean `image label`."""
    own = distances(images, edits)
    changes = np.array([edit.change for edit in edits])
    asked = np.stack([edit.asked for edit in edits])
    present = np.stack([label_vector(edit.study.findings) for edit in edits]) > 0
    succeeded, is_altered = successes(found, edits), changes == "altered"
    untouched = squared_errors(np.stack([edit.source for edit in edits]), edits)
    return EditMetrics(
        distance=mean(own),
        ratio=ratio(own, free_distances),
        skill=ratio(untouched - squared_errors(images, edits), untouched),
        success_rate=fraction(succeeded[~is_altered]),
        success_rate_by_change={
            str(change): fraction(succeeded[changes == change])
            for change in sorted(set(changes) - {"altered"})
        },
        partial_success=fraction((progress(images, edits) > 0.5)[is_altered]),
        preserved=_pooled(found, (asked == 0) & present),
        hallucinated=_pooled(found, (asked == 0) & ~present),
        num_failed=num_failed,
        each_distance=tuple(float(value) for value in own),
        each_success=tuple(
            None if altered else bool(one)
            for one, altered in zip(succeeded, is_altered, strict=True)
        ),
    )


def _pooled(found: np.ndarray, where: np.ndarray) -> Estimate:
    """The fraction of `found` where `where` is true, over all edits together."""
    return ratio((found & where).sum(axis=1).astype(float), where.sum(axis=1).astype(float))
