"""The examples on the page: which pairs are shown, and what is shown of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.errors import DataError
from pairaug.imaging.io import fit_square, load_image
from pairaug.pair import Branch, ImageRef, Pair
from pairaug.summary.records import RunPairs
from pairaug.summary.report_diff import mark_difference
from pairaug.summary.thumbnails import difference_uri, image_uri, true_image

LONG_REPORT = 420
"""Characters; a longer report is folded."""


@dataclass(frozen=True, slots=True)
class Reports:
    """A report before and after, as HTML with the changed words marked."""

    before: str
    after: str
    is_long: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture: a data URI, or why there is none."""

    title: str
    uri: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class GalleryExample:
    """A synthetic pair beside the one that it was made from."""

    id: str
    branch: str
    verdict: str
    """Empty for a kept pair, else why it was dropped."""
    reports: Reports
    tiles: tuple[Tile, ...]
    scores: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExampleChoice:
    """How many examples of a gallery are shown, and the fraction of them that are dropped pairs."""

    num_examples: int
    dropped_fraction: float
    seed: int


def choose(
    pairs: RunPairs, branch: Branch, has_image: np.ndarray, choice: ExampleChoice
) -> list[str]:
    """Ids of the examples of a branch, kept ones first; the same for the same run and seed.

    `has_image` is true for pairs that got as far as an image. Where one kind is short, the other
    takes its places.
    """
    rng = np.random.default_rng([choice.seed, *branch.encode()])
    mine = pairs.of(branch) & has_image
    kept = rng.permutation(np.flatnonzero(mine & pairs.is_living))
    dropped = rng.permutation(np.flatnonzero(mine & ~pairs.is_living))
    num_dropped = min(len(dropped), round(choice.num_examples * choice.dropped_fraction))
    num_kept = min(len(kept), choice.num_examples - num_dropped)
    num_dropped = min(len(dropped), choice.num_examples - num_kept)
    return [pairs.ids[row] for row in (*kept[:num_kept], *dropped[:num_dropped])]


def inter_example(pair: Pair, source: Pair, pixels: int) -> GalleryExample:
    """A new patient: the image and its report, beside the report that it was made from."""
    return _example(pair, source, (_image("New image", pair.image, pixels),))


def intra_example(pair: Pair, source: Pair, pixels: int) -> GalleryExample:
    """A changed condition: source, edited image and their difference, and the truth if known."""
    try:
        image, edited = _load(source.image), _load(pair.image)
    except DataError as error:
        return _example(pair, source, (Tile("Images", None, str(error)),))
    # What the edit started from: the source in the square window of the model. It is shown larger
    # where there is more of it.
    fit, window = pair.trace["edit"]["fit"], edited.shape[0]
    before = fit_square(image, window, fit)
    shown = fit_square(image, max(window, min(pixels, *image.shape)), fit)
    tiles = [
        Tile("Source image", image_uri(shown, pixels)),
        Tile("Edited image", image_uri(edited, pixels)),
        Tile("Edited − source", difference_uri(edited - before, pixels)),
    ]
    truth = true_image(
        source.trace.get("read", {}), pair.source_report or "", pair.report.text, edited.shape[0]
    )
    if truth is not None:
        distance = float(np.abs(edited - truth).mean())
        tiles += [
            Tile("True counterfactual", image_uri(truth, pixels)),
            Tile("True − source", difference_uri(truth - before, pixels)),
        ]
        return _example(pair, source, tuple(tiles), {"to the truth": distance})
    return _example(pair, source, tuple(tiles))


def _example(
    pair: Pair, source: Pair, tiles: Sequence[Tile], extra: Mapping[str, float] | None = None
) -> GalleryExample:
    text = pair.source_report or ""
    before, after = mark_difference(text, pair.report.text)
    is_long = max(len(text), len(pair.report.text)) > LONG_REPORT
    numbers = {**pair.scores, **(extra or {})}
    return GalleryExample(
        id=pair.id,
        branch=pair.branch.value,
        verdict=_verdict(pair),
        reports=Reports(before, after, is_long),
        tiles=tuple(tiles),
        scores=tuple(
            (name.replace("_", "–"), f"{value:.3f}")
            for name, value in numbers.items()
            if value is not None
        ),
    )


def _verdict(pair: Pair) -> str:
    return "" if pair.drop is None else f"{pair.drop.stage}: {pair.drop.reason.replace('_', ' ')}"


def _image(title: str, image: ImageRef | None, pixels: int) -> Tile:
    try:
        return Tile(title, image_uri(_load(image), pixels))
    except DataError as error:
        return Tile(title, None, str(error))


def _load(image: ImageRef | None) -> np.ndarray:
    if image is None:
        raise DataError("no image was made")
    return load_image(image)
