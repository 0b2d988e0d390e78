"""Label noise: exchanges some generated images between the pairs of a run.

Images and reports stay those of the run; a known fraction of the synthetic pairs gets the image of
another pair, so the pairs that pruning should find are known. The protocol is that of noisy
correspondence (Huang et al. 2021), with images of the same branch exchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pairaug.clip.similarity import pair_scores
from pairaug.config import Settings
from pairaug.experiment.pairs import check_fingerprints, prune_parts
from pairaug.manifest import (
    fingerprint,
    part_fingerprint,
    part_index,
    part_path,
    part_paths,
    read_part,
    write_part,
)
from pairaug.pair import Branch, Pair
from pairaug.run import RunFolder
from pairaug.stage import RunContext, seed_for

TRACE = "noise"
"""Trace entry of a pair with an exchanged image; `image_of` is the id of the image's pair."""

_SEED_NAME = "failing"
"""Seed name of the choice; the published tables depend on it."""

_RANGE = 2**63


def make_noisy(
    run: RunFolder, folder: Path, rate: float, settings: Settings, context: RunContext
) -> None:
    """Exchanges a fraction of the images of the run's scored pairs, and prunes them again.

    The folder then holds `score` and `prune`, each with as many parts as the run.
    """
    before = part_paths(run.stage("score"))
    inputs = {"kind": "noise", "rate": rate, "seed": settings.seed}
    own_fingerprint = fingerprint(inputs, part_fingerprint(before[0]))
    check_fingerprints(folder / "score", own_fingerprint)
    for path in before:
        index = part_index(path)
        if not part_path(folder / "score", index).exists():
            pairs = exchange_images(read_part(path), rate, settings.seed)
            write_part(folder / "score", index, pairs, own_fingerprint, is_last=path == before[-1])
    prune_parts(folder, settings, context)


def exchange_images(pairs: Sequence[Pair], rate: float, seed: int) -> list[Pair]:
    """The pairs of a part, in order, with a fraction of the kept generated images exchanged.

    Each synthetic pair is chosen by the hash of its id, so that a larger fraction includes the
    choice of a smaller one. Within each branch, the chosen images rotate, each to a pair of another
    patient unless more than half of the chosen are of one. A single chosen pair keeps its image.
    """
    sources = {pair.id: pair for pair in pairs}
    changed: dict[str, Pair] = {}
    for branch in (Branch.INTER, Branch.INTRA):
        chosen = sorted(
            (pair for pair in pairs if _is_chosen(pair, branch, rate, seed)),
            key=lambda pair: (pair.parent_id or "", pair.id),
        )
        if len(chosen) < 2:
            continue
        # Sorted by parent, a rotation by the size of the largest family leaves every family.
        turn = max(Counter(pair.parent_id for pair in chosen).values()) % len(chosen) or 1
        for pair, other in zip(chosen, chosen[turn:] + chosen[:turn], strict=True):
            changed[pair.id] = _with_image_of(pair, other, sources.get(pair.parent_id or ""))
    return [changed.get(pair.id, pair) for pair in pairs]


def _is_chosen(pair: Pair, branch: Branch, rate: float, seed: int) -> bool:
    if pair.branch is not branch or pair.drop is not None or pair.image_embedding is None:
        return False
    return seed_for(seed, pair.id, _SEED_NAME) / _RANGE < rate


def _with_image_of(pair: Pair, other: Pair, source: Pair | None) -> Pair:
    """The pair with another's image, and its new scores."""
    is_edit = pair.branch is Branch.INTRA
    image, report = _vector(other.image_embedding), _vector(pair.report_embedding)
    assert image is not None
    of_source = source if is_edit else None
    scores = pair_scores(
        image,
        report,
        _vector(of_source.image_embedding) if of_source else None,
        _vector(pair.source_report_embedding) if of_source else None,
    )
    moved = replace(pair, image=other.image).with_embeddings(image=other.image_embedding)
    return moved.with_scores(**scores).with_trace(TRACE, image_of=other.id)


def _vector(values: tuple[float, ...] | None) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=np.float32)
