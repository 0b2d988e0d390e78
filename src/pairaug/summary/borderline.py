"""Examples of kept and dropped images: those far from the threshold, and those close to it."""

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
_NAMES = {"inter": "New patients", "intra": "Edited images"}


@dataclass(frozen=True, slots=True)
class Strip:
    """Images of one branch, from the clearly kept to the clearly dropped."""

    title: str
    tiles: tuple[Tile, ...]


def strips(pairs: RunPairs, rules: RuleLines, settings: SummarySettings) -> list[Strip]:
    """A strip for each branch with pruned pairs."""
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
            found.append(
                Strip(f"{_NAMES[branch.value]}, by distance to the threshold", tuple(tiles))
            )
    return found


def _margins(pairs: RunPairs, branch: Branch, rules: RuleLines) -> np.ndarray:
    """Each pair's smallest score minus bound; its image-report score if there are no bounds."""
    bounds = {score: bound for (name, score), bound in rules.items() if name == branch.value}
    if not bounds:
        return pairs.scores["image_report"]
    return np.stack([pairs.scores[score] - bound for score, bound in bounds.items()]).min(axis=0)


def _groups(
    pairs: RunPairs, branch: Branch, margins: np.ndarray, count: int
) -> list[tuple[str, list[int]]]:
    """(title, rows) of the images to show, each at most once."""
    scored = pairs.of(branch) & np.isfinite(margins)
    kept = np.flatnonzero(scored & pairs.is_living)
    dropped = np.flatnonzero(scored & (pairs.drop_stages == "prune"))
    kept = kept[np.argsort(-margins[kept], kind="stable")].tolist()
    dropped = dropped[np.argsort(-margins[dropped], kind="stable")].tolist()
    half_kept, half_dropped = min(count, len(kept) // 2), min(count, len(dropped) // 2)
    return [
        ("clearly kept", kept[:half_kept]),
        ("narrowly kept", kept[half_kept:][-count:]),
        ("narrowly dropped", dropped[: len(dropped) - half_dropped][:count]),
        ("clearly dropped", dropped[len(dropped) - half_dropped :]),
    ]


def _tile(pair: Pair, title: str, margin: float, pixels: int) -> Tile:
    titled = f"{title}, {margin:+.3f}"
    try:
        if pair.image is None:
            raise DataError("no image was generated")
        return Tile(titled, image_uri(load_image(pair.image), pixels))
    except DataError as error:
        return Tile(titled, None, str(error))
