"""Which images the rule keeps and drops, as pictures: the surest, and those close to the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pairaug.errors import DataError
from pairaug.imaging.io import load_image
from pairaug.pair import Branch, Pair
from pairaug.summary import SummarySettings
from pairaug.summary.examples import Tile
from pairaug.summary.figures import RuleLines
from pairaug.summary.records import RunPairs
from pairaug.summary.thumbnails import image_uri

_MAX_PIXELS = 160
_NAMES = {"inter": "New patients", "intra": "Changed images"}


@dataclass(frozen=True, slots=True)
class Strip:
    """Images of one branch, from the surely kept to the surely dropped."""

    title: str
    tiles: tuple[Tile, ...]


def strips(pairs: RunPairs, rules: RuleLines, settings: SummarySettings) -> list[Strip]:
    """A strip for each branch that the rule has decided about."""
    count = min(4, settings.max_examples // 2)
    found = []
    for branch in (Branch.INTER, Branch.INTRA):
        margins = _margins(pairs, branch, rules)
        groups = _groups(pairs, branch, margins, count)
        ids = {pairs.ids[row] for _, rows in groups for row in rows}
        whole = pairs.whole(ids) if ids else {}
        pixels = min(_MAX_PIXELS, settings.image_pixels)
        tiles = [
            _tile(whole[pairs.ids[row]], title, float(margins[row]), pixels)
            for title, rows in groups
            for row in rows
        ]
        if tiles:
            found.append(Strip(f"{_NAMES[branch.value]}, by how far from the line", tuple(tiles)))
    return found


def _margins(pairs: RunPairs, branch: Branch, rules: RuleLines) -> np.ndarray:
    """How far each pair's worst score is above its bound; without bounds, its agreement."""
    bounds = {score: bound for (name, score), bound in rules.items() if name == branch.value}
    if not bounds:
        return pairs.scores["image_report"]
    return np.stack([pairs.scores[score] - bound for score, bound in bounds.items()]).min(axis=0)


def _groups(
    pairs: RunPairs, branch: Branch, margins: np.ndarray, count: int
) -> list[tuple[str, list[int]]]:
    """(title, rows) of the images to be shown, none of them twice."""
    scored = pairs.of(branch) & np.isfinite(margins)
    kept = np.flatnonzero(scored & pairs.is_living)
    dropped = np.flatnonzero(scored & (pairs.drop_stages == "prune"))
    kept = kept[np.argsort(-margins[kept], kind="stable")].tolist()
    dropped = dropped[np.argsort(-margins[dropped], kind="stable")].tolist()
    half_kept, half_dropped = min(count, len(kept) // 2), min(count, len(dropped) // 2)
    return [
        ("surely kept", kept[:half_kept]),
        ("just kept", kept[half_kept:][-count:]),
        ("just dropped", dropped[: len(dropped) - half_dropped][:count]),
        ("surely dropped", dropped[len(dropped) - half_dropped :]),
    ]


def _tile(pair: Pair, title: str, margin: float, pixels: int) -> Tile:
    titled = f"{title}, {margin:+.3f}"
    try:
        if pair.image is None:
            raise DataError("no image was made")
        return Tile(titled, image_uri(load_image(pair.image), pixels))
    except DataError as error:
        return Tile(titled, None, str(error))
