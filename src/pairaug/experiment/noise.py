"""A generator that fails more often than it did: some generated images change places among each other.

The images are those of a run, and the reports too; only which belongs to which is wrong, for a known
fraction of the synthetic pairs. So it is known what pruning should find. The protocol is that of noisy
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
"""The trace entry of a pair whose image was exchanged; `image_of` names whose it has."""

_SEED_NAME = "failing"
"""Seeds the choice of pairs. Another name would choose other pairs than the published tables have."""

_RANGE = 2**63


def make_noisy(
    run: RunFolder, folder: Path, rate: float, settings: Settings, context: RunContext
) -> None:
    """The run's scored pairs with a fraction of the images exchanged, scored and pruned anew.

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
    """The pairs of a part, in their order, with a fraction of the living generated images exchanged.

    Each synthetic pair is chosen or not by the hash of its id, so that what fails at a fraction fails at
    every greater one. Of each branch, the chosen images move round: to a pair of another patient
    unless more than half of the chosen are of one. A chosen pair without any other keeps its image.
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
        # Sorted by parent, a turn as long as the largest family leads out of every family.
        turn = max(Counter(pair.parent_id for pair in chosen).values()) % len(chosen) or 1
        for pair, other in zip(chosen, chosen[turn:] + chosen[:turn], strict=True):
            changed[pair.id] = _with_image_of(pair, other, sources.get(pair.parent_id or ""))
    return [changed.get(pair.id, pair) for pair in pairs]


def _is_chosen(pair: Pair, branch: Branch, rate: float, seed: int) -> bool:
    if pair.branch is not branch or pair.drop is not None or pair.image_embedding is None:
        return False
    return seed_for(seed, pair.id, _SEED_NAME) / _RANGE < rate


def _with_image_of(pair: Pair, other: Pair, source: Pair | None) -> Pair:
    """The pair with another's image, and the scores that `score` gives to it."""
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
