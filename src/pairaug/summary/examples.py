"""The examples on the page: the pairs to show, with their images, reports and scores."""

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
    """One picture: a data URI, or the reason why it is missing."""

    title: str
    uri: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class GalleryExample:
    """A synthetic pair beside its source."""

    id: str
    branch: str
    decision: str
    """Empty for a kept pair, else the stage and reason of its drop."""
    reports: Reports
    tiles: tuple[Tile, ...]
    scores: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExampleChoice:
    """Number of examples in a gallery, and the fraction of dropped pairs among them."""

    num_examples: int
    dropped_fraction: float
    seed: int


def choose(
    pairs: RunPairs, branch: Branch, has_image: np.ndarray, choice: ExampleChoice
) -> list[str]:
    """Ids of the examples of a branch, kept ones first; the same for the same run and seed.

    `has_image` is true for pairs for which an image was generated. Too few kept pairs are filled up
    with dropped ones, and the other way round.
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
    """A new patient: the generated image and its report, beside the source report."""
    return _example(pair, source, (_image("Generated image", pair.image, pixels),))


def intra_example(pair: Pair, source: Pair, pixels: int) -> GalleryExample:
    """An edit: source image, edited image and their difference, and the truth if known."""
    try:
        image, edited = _load(source.image), _load(pair.image)
    except DataError as error:
        return _example(pair, source, (Tile("Images", None, str(error)),))
    # The edit started from the source in the model's square window. The page shows the source at a
    # higher resolution where the file has one.
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
        return _example(pair, source, tuple(tiles), {"MAE to truth": distance})
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
        decision=_decision(pair),
        reports=Reports(before, after, is_long),
        tiles=tuple(tiles),
        scores=tuple(
            (name.replace("_", "–"), f"{value:.3f}")
            for name, value in numbers.items()
            if value is not None
        ),
    )


def _decision(pair: Pair) -> str:
    return "" if pair.drop is None else f"{pair.drop.stage}: {pair.drop.reason.replace('_', ' ')}"


def _image(title: str, image: ImageRef | None, pixels: int) -> Tile:
    try:
        return Tile(title, image_uri(_load(image), pixels))
    except DataError as error:
        return Tile(title, None, str(error))


def _load(image: ImageRef | None) -> np.ndarray:
    if image is None:
        raise DataError("no image was generated")
    return load_image(image)
