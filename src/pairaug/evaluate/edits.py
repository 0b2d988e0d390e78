"""Edits of phantoms with their right answers, and how far an edited image is from its own.

Arrays and studies only; which method made an image is `counterfactual.py`'s.
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

Change = Literal["added", "removed", "added and removed", "altered"]

NOT_USED = {
    "no_rewrite": "the rewriter found nothing to change in the report",
    "foreign": "the changed report states what phantoms do not have",
    "not_drawable": "the changed findings cannot be on one image",
    "nothing_changed": "the changed report asks for no other findings",
}
"""Why a phantom's rewritten report gives no edit to measure."""


class Rewritten(NamedTuple):
    """The text that was rewritten, and what it was rewritten into."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: a patient, the text before and after rewriting, and the images that go with each."""

    study: Study
    before: str
    after: str
    findings: tuple[Finding, ...]
    """What the changed report asks for."""
    source: np.ndarray
    truth: np.ndarray

    @property
    def asked(self) -> np.ndarray:
        """Per label of `LABELS`: 1 to appear, -1 to go, 0 to stay as it is."""
        change = label_vector(self.findings) - label_vector(self.study.findings)
        return change.astype(int)

    @property
    def change(self) -> Change:
        """What is asked, in a word; `altered` is another severity, zone, or side of a device."""
        asked = self.asked
        if (asked > 0).any() and (asked < 0).any():
            return "added and removed"
        if (asked > 0).any():
            return "added"
        return "removed" if (asked < 0).any() else "altered"


@dataclass(frozen=True, slots=True)
class EditMetrics:
    """How one method's edited images compare with the right answers."""

    distance: Estimate
    """Mean absolute difference to the true counterfactual, on a 0-1 scale."""
    ratio: Estimate
    """The distance over that of images generated freely from the changed report."""
    skill: Estimate
    """1 - |x' - x*|^2 / |x - x*|^2 over all edits: 0 for the source left alone, 1 for the truth."""
    hits: Estimate
    """Fraction of edits in which every finding that was to appear or go has done so."""
    hits_by_change: Mapping[str, Estimate]
    altered: Estimate
    """Of edits that alter a finding: the fraction whose images are nearer the right answer than the
    source, where the two differ."""
    kept: Estimate
    """Fraction of the findings that were to stay that are still read."""
    invented: Estimate
    """Fraction of the findings that were absent and to stay so that are read all the same."""
    num_failed: int
    each_distance: tuple[float, ...]
    """The distance of each edit, in the order of the edits, so that methods can be paired."""
    each_hit: tuple[bool | None, ...]
    """True for each edit whose change was read; None for edits that only alter a finding."""


def make_edit(study: Study, rewritten: Rewritten | None, size: int) -> Edit | str:
    """The edit of `study` that rewriting asks for, or the reason of `NOT_USED` why it is none."""
    if rewritten is None:
        return "no_rewrite"
    old, new = extract(rewritten.before), extract(rewritten.after)
    if foreign_changes(old, new):
        return "foreign"
    findings = changed_findings(study.findings, old, new, study.anatomy.seed)
    if not is_drawable(findings):
        return "not_drawable"
    if set(findings) == set(study.findings):
        return "nothing_changed"
    truth = render(study.anatomy, findings, size).image
    return Edit(study, *rewritten, findings, study.render(size).image, truth)


def distances(images: np.ndarray, edits: Sequence[Edit]) -> np.ndarray:
    """Mean absolute difference of each image to its right answer, on a 0-1 scale."""
    truths = np.stack([edit.truth for edit in edits])
    return np.abs(images - truths).mean(axis=(1, 2), dtype=np.float64)


def squared_errors(images: np.ndarray, edits: Sequence[Edit]) -> np.ndarray:
    """Mean squared difference of each image to its right answer, on a 0-1 scale."""
    truths = np.stack([edit.truth for edit in edits])
    return np.square(images - truths).mean(axis=(1, 2), dtype=np.float64)


def hits(read: np.ndarray, edits: Sequence[Edit]) -> np.ndarray:
    """True where every label that was to appear or go has; `read` is boolean, `image label`.

    Vacuously true for an edit that only alters a finding: leave those out.
    """
    asked = np.stack([edit.asked for edit in edits])
    done = np.where(asked > 0, read, np.where(asked < 0, ~read, True))
    return np.asarray(done.all(axis=1))


def progress(images: np.ndarray, edits: Sequence[Edit]) -> np.ndarray:
    """How much of the change was made: 0 for the source image, 1 for the right answer.

        <x' - x, x* - x> / |x* - x|^2

    Above 0.5 the image is nearer to the right answer x* than to the source x, in the direction in
    which the two differ; what the image changes elsewhere plays no part.
    """
    made = []
    for image, edit in zip(images, edits, strict=True):
        wanted = (edit.truth - edit.source).astype(np.float64)
        made.append(float(((image - edit.source) * wanted).sum() / (wanted**2).sum()))
    return np.array(made)


def score_edits(
    images: np.ndarray,
    read: np.ndarray,
    edits: Sequence[Edit],
    free_distances: np.ndarray,
    num_failed: int = 0,
) -> EditMetrics:
    """All numbers of one method. `read` is what a classifier reads off the images, `image label`."""
    own = distances(images, edits)
    changes = np.array([edit.change for edit in edits])
    asked = np.stack([edit.asked for edit in edits])
    present = np.stack([label_vector(edit.study.findings) for edit in edits]) > 0
    hit, is_altered = hits(read, edits), changes == "altered"
    untouched = squared_errors(np.stack([edit.source for edit in edits]), edits)
    return EditMetrics(
        distance=mean(own),
        ratio=ratio(own, free_distances),
        skill=ratio(untouched - squared_errors(images, edits), untouched),
        hits=fraction(hit[~is_altered]),
        hits_by_change={
            str(change): fraction(hit[changes == change])
            for change in sorted(set(changes) - {"altered"})
        },
        altered=fraction((progress(images, edits) > 0.5)[is_altered]),
        kept=_pooled(read, (asked == 0) & present),
        invented=_pooled(read, (asked == 0) & ~present),
        num_failed=num_failed,
        each_distance=tuple(float(value) for value in own),
        each_hit=tuple(
            None if altered else bool(one) for one, altered in zip(hit, is_altered, strict=True)
        ),
    )


def _pooled(read: np.ndarray, where: np.ndarray) -> Estimate:
    """The fraction of `read` at the places `where`, over all edits together."""
    return ratio((read & where).sum(axis=1).astype(float), where.sum(axis=1).astype(float))
