"""The Stage protocol, and what every stage needs: its context, batches and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from pairaug.pair import Pair

Item = TypeVar("Item")


class Stage(Protocol):
    """Anything that turns a stream of pairs into a stream of pairs.

    Each pair that goes in comes out: as itself, followed by children made from it, or dropped with
    a reason. Pairs that the stage does not work on pass through unchanged.
    """

    name: str

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]: ...


@runtime_checkable
class Fitted(Protocol):
    """A stage that reads all pairs of a run once, before its first part."""

    def fit(self, pairs: Iterable[Pair]) -> None: ...


def _ignore_progress(num_pairs: int) -> None:
    del num_pairs


def _ignore_status(text: str) -> None:
    del text


@dataclass(frozen=True, slots=True)
class RunContext:
    """Seed, device and callbacks of a run, chosen once for all stages."""

    seed: int
    device: str = "cpu"
    dtype: str = "float32"
    compile: bool = False
    num_workers: int = 2
    """Images decoded in parallel while reading; it does not change results."""
    report_progress: Callable[[int], None] = _ignore_progress
    """Called with the number of pairs that were just finished."""
    report_status: Callable[[str], None] = _ignore_status
    """Called from time to time with a short status text, which holds no report text."""
    folder: Path | None = None
    """The run folder, for files other than parts; None outside of a run."""


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of `size` items; the last may be shorter, none is empty."""
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def overlap(jobs: Iterable[Callable[[], Item]]) -> Iterator[Item]:
    """Results of the jobs, in order; a job runs in another thread while the next is fetched.

    For work in two halves: the iterable does the first half, on the device, when the next job is
    requested; the jobs do the second, decoding and compressing. One job runs at a time, and at most
    two wait. An error in a job is raised here.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        previous: Future[Item] | None = None
        for job in jobs:
            current = pool.submit(job)
            if previous is not None:
                yield previous.result()
            previous = current
        if previous is not None:
            yield previous.result()


def apply(stage: Stage, pairs: Sequence[Pair]) -> list[Pair]:
    """Runs `stage` on `pairs` and returns them in the same order, each followed by its children.

    The stage sees living pairs only; dropped pairs keep their position. Raises if a pair was lost
    or came out twice, or if a new pair's parent is not among `pairs`: a bug in the stage.
    """
    results = list(stage(pair for pair in pairs if pair.drop is None))
    outcome = {pair.id: pair for pair in results}
    if len(outcome) != len(results):
        raise RuntimeError(
            f"stage {stage.name}: {len(results) - len(outcome)} pairs came out twice"
        )
    known = {pair.id for pair in pairs}
    children: dict[str | None, list[Pair]] = {}
    for pair in results:
        if pair.id not in known:
            children.setdefault(pair.parent_id, []).append(pair)
    lost = sum(pair.drop is None and pair.id not in outcome for pair in pairs)
    strays = sum(len(group) for parent, group in children.items() if parent not in known)
    if lost or strays:
        raise RuntimeError(
            f"stage {stage.name}: of {len(pairs)} pairs {lost} were lost, "
            f"and {strays} came out whose parent did not go in"
        )
    return [
        kept for pair in pairs for kept in (outcome.get(pair.id, pair), *children.get(pair.id, ()))
    ]


def seed_for(run_seed: int, pair_id: str, stage: str) -> int:
    """A 63-bit seed for one pair at one stage.

    It depends on nothing else, so order, batches, workers and resuming change no result.
    """
    key = f"{run_seed}\0{stage}\0{pair_id}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 1
