"""Training pairs of the arms: those of the run, and those that the run itself does not have.

Each kind is a folder of parts, written part by part, so that an interrupted experiment resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from pairaug.config import Settings
from pairaug.errors import RunError
from pairaug.experiment.comparison import context_of
from pairaug.manifest import (
    fingerprint,
    part_fingerprint,
    part_index,
    part_path,
    part_paths,
    read_columns,
    read_part,
    read_table,
    write_part,
    write_table,
)
from pairaug.pair import Branch, Pair
from pairaug.run.folder import RunFolder
from pairaug.run.progress import NoProgress, ProgressReport
from pairaug.run.stages import open_stage, weights_of
from pairaug.stage import RunContext, apply, seed_for


def make_image_only(
    run: RunFolder, folder: Path, settings: Settings, per_report: int, progress: ProgressReport
) -> None:
    """New images for the real reports: generated, scored and pruned like the run's new patients.

    The folder then holds `score` and `prune`, each with as many parts as the run.
    """
    quiet = context_of(settings, NoProgress())
    stages = [
        open_stage("generate", settings, context_of(settings, progress)),
        open_stage("score", settings, quiet),
    ]

    def synthetic(pairs: Sequence[Pair]) -> list[Pair]:
        for stage in stages:
            pairs = apply(stage, pairs)
        return list(pairs)

    inputs = {
        "kind": "image_only",
        "per_report": per_report,
        "seed": settings.seed,
        **{name: getattr(settings, name).model_dump(mode="json") for name in ("generate", "score")},
        **{f"weights of {name}": weights_of(name, settings) for name in ("generate", "score")},
    }

    def children(pair: Pair) -> Iterator[Pair]:
        for number in range(per_report):
            yield pair.child(
                f"image-{number}",
                branch=Branch.INTER,
                report=pair.report,
                source_report=pair.report.text,
                labels=pair.labels,
            )

    num_images = {path: per_report * _num_usable(path) for path in part_paths(run.stage("read"))}
    num_done = sum(
        num_images[path]
        for path in num_images
        if part_path(folder / "score", part_index(path)).exists()
    )
    progress.start("image_only", sum(num_images.values()), num_done, unit="image")
    _make_parts(run, folder / "score", children, synthetic, inputs)
    progress.finish()
    prune_parts(folder, settings, quiet)


def make_text_only(run: RunFolder, folder: Path, settings: Settings, per_report: int) -> None:
    """Rewordings of the real reports by rules, each with the report's own image; not pruned.

    Reports that the rules cannot reword give dropped pairs.
    """

    def children(pair: Pair) -> Iterator[Pair]:
        for number in range(per_report):
            yield in_other_words(pair, f"text-{number}", settings)

    inputs = {
        "kind": "text_only",
        "per_report": per_report,
        "seed": settings.seed,
        "max_words": settings.rewrite.max_words,
    }
    _make_parts(run, folder / "prune", children, list, inputs)


def in_other_words(pair: Pair, name: str, settings: Settings) -> Pair:
    """A child with the pair's own image and its report reworded by rules.

    Dropped, with the report unchanged, if the rules cannot reword it.
    """
    from pairaug.rewrite.rules.paraphrase import reworded

    rng = Random(seed_for(settings.seed, f"{pair.id}~{name}", "rewrite"))
    report = reworded(pair.report.text, rng, settings.rewrite.max_words)
    child = pair.child(
        name,
        branch=Branch.INTRA,
        source_report=pair.report.text,
        report=report or pair.report,
        labels=pair.labels,
    )
    assert pair.image is not None
    child = child.with_image(pair.image)
    return child if report else child.dropped("rewrite", "unchanged")


def _make_parts(
    run: RunFolder,
    folder: Path,
    children: Callable[[Pair], Iterable[Pair]],
    synthetic: Callable[[Sequence[Pair]], Sequence[Pair]],
    inputs: dict[str, Any],
) -> None:
    """For each part of the run, one with its training pairs and the children derived from them."""
    before = part_paths(run.stage("read"))
    own_fingerprint = fingerprint(inputs, part_fingerprint(before[0]))
    check_fingerprints(folder, own_fingerprint)
    for path in before:
        index = part_index(path)
        if part_path(folder, index).exists():
            continue
        reals = [pair for pair in read_part(path) if pair.drop is None]
        family = [
            member
            for pair in reals
            for member in (pair, *(children(pair) if pair.split == "train" else ()))
        ]
        if family:
            write_part(
                folder, index, synthetic(family), own_fingerprint, is_last=path == before[-1]
            )


def _num_usable(path: Path) -> int:
    """Training pairs of a part of real ones."""
    arms = read_columns(path, ("split", "drop_stage")).to_pylist()
    return sum(arm["split"] == "train" and arm["drop_stage"] is None for arm in arms)


def prune_parts(folder: Path, settings: Settings, context: RunContext) -> None:
    """Prunes a folder's `score` into its `prune`, by the run's rule fitted on these pairs."""
    from pairaug.prune import Prune, PruneRule

    scored = part_paths(folder / "score")
    decision = PruneRule(settings.prune).decide_parts(scored)
    parent = part_fingerprint(scored[0])
    own_fingerprint = fingerprint({"fitted": decision.fitted}, parent)
    stage = Prune(settings.prune, decision.fitted, context, decision.copies)
    for path in scored:
        index = part_index(path)
        target = part_path(folder / "prune", index)
        # Another rule decides again in the same folder: pruning is quick.
        if not target.exists() or part_fingerprint(target) != own_fingerprint:
            table = stage.apply_to_table(read_table(path))
            write_table(folder / "prune", index, table, own_fingerprint, is_last=path == scored[-1])


def check_fingerprints(folder: Path, own_fingerprint: str) -> None:
    """Raises `RunError` if the folder has parts of another fingerprint."""
    if any(part_fingerprint(path) != own_fingerprint for path in part_paths(folder)):
        raise RunError(
            f"{folder} was written with other settings. Delete it, or pass a new --out folder."
        )
