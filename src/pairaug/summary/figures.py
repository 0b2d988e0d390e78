"""The figures of the page from the columns of a run: flow, scores, maps and label balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.pair import FINDINGS, SCORES, Branch
from pairaug.summary.charts import Points, histogram, points_map, rates
from pairaug.summary.flow import Lane, flow
from pairaug.summary.records import RunPairs

RuleLines = Mapping[tuple[str, str], float]
"""(branch, score) → the value that a kept pair exceeds."""

Mismatches = Mapping[tuple[str, str], np.ndarray]
"""(branch, score) → that score between images and reports of different patients."""

# The column of the flow figure for a stage's losses.
_COLUMN = {"read": 0, "rewrite": 1, "generate": 2, "edit": 2, "score": 3, "prune": 4}

_MAX_LINKED = 400
"""Points; on larger maps, lines would hide the points."""

SCORE_TITLES = {
    "image_report": "image-report agreement",
    "image_image": "similarity to the source image",
    "directional": "image change follows report change",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as SVG, with a title if it is one of several."""

    picture: str
    title: str = ""
    subtitle: str = ""


def flow_figure(pairs: RunPairs) -> Figure:
    """The number of pairs of each branch after every stage, and the reasons of the drops."""
    lanes = [
        _lane(pairs, Branch.REAL, "real pairs", "real pairs", 0),
        _lane(pairs, Branch.INTER, "for new patients", "new patients", 1),
        _lane(pairs, Branch.INTRA, "for the same patient", "edited images", 1),
    ]
    return Figure(flow([lane for lane in lanes if lane.num_at_first or lane.name == "real"]))


def score_figures(
    pairs: RunPairs, rules: RuleLines, mismatches: Mismatches | None = None
) -> list[Figure]:
    """A histogram for each branch and score, with the rule and the scores of mismatched pairs."""
    figures: list[Figure] = []
    real = pairs.of(Branch.REAL)
    for branch in (Branch.INTER, Branch.INTRA):
        for score in SCORES:
            values = pairs.scores[score]
            mine = pairs.of(branch) & np.isfinite(values)
            if not mine.any():
                continue
            reference = values[real & np.isfinite(values)]
            picture = histogram(
                values[mine & pairs.is_living],
                values[mine & ~pairs.is_living],
                colour=branch.value,
                label=f"{branch.value}: {score}",
                rule=rules.get((branch.value, score)),
                reference=reference,
                mismatched=(mismatches or {}).get((branch.value, score)),
            )
            title = f"{branch.value} · {score.replace('_', '–')}"
            figures.append(Figure(picture, title, SCORE_TITLES[score]))
    return figures


def label_figure(pairs: RunPairs) -> Figure | None:
    """The fraction of pairs whose report states each finding as present, by branch."""
    groups = {
        name: mask
        for name, mask in (
            ("real", pairs.of(Branch.REAL) & pairs.is_living),
            ("inter", pairs.of(Branch.INTER) & pairs.is_living),
            ("intra", pairs.of(Branch.INTRA) & pairs.is_living),
        )
        if mask.any()
    }
    rows = []
    for finding in FINDINGS:
        is_present = pairs.labels[finding] == 1
        fractions = {name: float(is_present[mask].mean()) for name, mask in groups.items()}
        if any(fractions.values()):
            rows.append((finding, fractions))
    if not rows:
        return None
    rows.sort(key=lambda row: -max(row[1].values()))
    return Figure(rates(rows, "fraction of pairs that state a finding, by branch"))


def map_figures(pairs: RunPairs, max_points: int, seed: int) -> list[Figure]:
    """t-SNE maps of the living pairs' image and report embeddings, fitted separately."""
    living = np.flatnonzero(pairs.is_living)
    rng = np.random.default_rng(seed)
    if living.size > max_points:
        living = np.sort(rng.permutation(living)[:max_points])
    figures = []
    for column, title in (("image_embedding", "Images"), ("report_embedding", "Reports")):
        rows, vectors = pairs.embeddings(living.tolist(), column)
        if len(rows) >= 8:
            figures.append(Figure(_map(pairs, rows, _positions(vectors, seed), title), title))
    return figures


def losses(pairs: RunPairs) -> list[tuple[str, str, str, int]]:
    """(stage, reason, branch, pairs) of all drops, in the order of the stages."""
    gone = np.flatnonzero(~pairs.is_living)
    counts = Counter(
        (str(pairs.drop_stages[row]), str(pairs.drop_reasons[row]), str(pairs.branches[row]))
        for row in gone
    )
    ordered = sorted(counts.items(), key=lambda item: (_COLUMN[item[0][0]], item[0][0], -item[1]))
    return [(*key, count) for key, count in ordered]


def _lane(pairs: RunPairs, branch: Branch, title: str, ending: str, first: int) -> Lane:
    mine = pairs.of(branch)
    lost: dict[int, dict[str, int]] = {}
    for stage, reason, name, count in losses(pairs):
        if name == branch.value:
            reasons = lost.setdefault(_COLUMN[stage], {})
            reasons[reason] = reasons.get(reason, 0) + count
    return Lane(branch.value, title, ending, first, pairs.num(mine), lost)


def _positions(vectors: np.ndarray, seed: int) -> np.ndarray:
    """The t-SNE of `vectors`, float32 `point 2`."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)


def _map(pairs: RunPairs, rows: np.ndarray, positions: np.ndarray, title: str) -> str:
    branches = pairs.branches[rows]
    groups = [
        Points(
            name, positions[branches == name], [pairs.ids[row] for row in rows[branches == name]]
        )
        for name in ("real", "inter", "intra")
    ]
    return points_map(groups, _links(pairs, rows, positions), f"t-SNE of {title.lower()}")


def _links(pairs: RunPairs, rows: Sequence[int] | np.ndarray, positions: np.ndarray) -> list[tuple]:
    """A line from each intra pair to its source pair, if both are on the map."""
    if len(rows) > _MAX_LINKED:
        return []
    position_of = {pairs.ids[row]: position for row, position in zip(rows, positions, strict=True)}
    return [
        (*position_of[parent], *position_of[pairs.ids[row]])
        for row in rows
        if pairs.branches[row] == Branch.INTRA.value
        and (parent := pairs.parents[row]) is not None
        and parent in position_of
    ]
