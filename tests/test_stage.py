"""Batches, seeds, and what `apply` asks of every stage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairaug.pair import Branch, Pair, Report
from pairaug.stage import apply, batched, overlap, seed_for


def make_pair(name: str) -> Pair:
    return Pair(name, Branch.REAL, f"patient of {name}", Report(impression="Normal."))


class Making:
    """A stage that makes what a function says of each pair."""

    name = "making"

    def __init__(self, make: Callable[[Pair], list[Pair]]) -> None:
        self.make = make

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        for pair in pairs:
            yield from self.make(pair)


class Backwards:
    """A stage that gives its children first and its pairs in the wrong order."""

    name = "backwards"

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        seen = list(pairs)
        for pair in seen:
            yield pair.child(
                "inter-0", branch=Branch.INTER, source_report=pair.report.text, report=Report()
            )
        yield from reversed(seen)


@given(st.lists(st.integers()), st.integers(1, 7))
def test_batches_hold_every_item_once_and_in_order(items: list[int], size: int) -> None:
    groups = list(batched(items, size))
    assert [item for group in groups for item in group] == items
    assert all(len(group) == size for group in groups[:-1])
    assert all(groups)


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        next(batched([1], 0))


def test_batches_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    assert next(batched(items(), 3)) == [0, 1, 2]
    assert taken == [0, 1, 2]


def test_seeds_are_unchanged() -> None:
    # Recorded: another value here would change every image that anybody has made.
    assert seed_for(0, "covid/0001", "generate") == 4812312137244778701


@given(st.integers(0, 2**63 - 1), st.text(max_size=20), st.sampled_from(["generate", "edit"]))
def test_seeds_fit_63_bits(run_seed: int, pair_id: str, stage: str) -> None:
    assert 0 <= seed_for(run_seed, pair_id, stage) < 2**63


def test_seeds_differ_by_run_pair_and_stage() -> None:
    seeds = {
        seed_for(run_seed, pair_id, stage)
        for run_seed in range(5)
        for pair_id in ("a", "b", "a~b")
        for stage in ("generate", "edit")
    }
    assert len(seeds) == 30


def test_apply_keeps_order_and_puts_children_after_their_parents() -> None:
    a, b = make_pair("a"), make_pair("b")
    assert [p.id for p in apply(Backwards(), [a, b])] == ["a", "a~inter-0", "b", "b~inter-0"]


def test_apply_skips_dropped_pairs_and_keeps_order() -> None:
    a, b, c = make_pair("a"), make_pair("b").dropped("read", "unreadable"), make_pair("c")
    seen: list[str] = []

    def note(pair: Pair) -> list[Pair]:
        seen.append(pair.id)
        return [pair.with_trace("making", seen=True)]

    made = apply(Making(note), [a, b, c])
    assert seen == ["a", "c"]
    assert [p.id for p in made] == ["a", "b", "c"]
    assert made[1] == b
    assert made[0].trace == {"making": {"seen": True}}


def test_apply_raises_when_a_pair_is_lost() -> None:
    pairs = [make_pair(name) for name in "abc"]
    with pytest.raises(RuntimeError, match="stage making: of 3 pairs 1 were lost"):
        apply(Making(lambda pair: [] if pair.id == "b" else [pair]), pairs)


def test_apply_raises_when_a_pair_comes_out_twice() -> None:
    with pytest.raises(RuntimeError, match="stage making: 1 pairs came out twice"):
        apply(Making(lambda pair: [pair, pair]), [make_pair("a")])


def test_apply_raises_for_unknown_parent() -> None:
    def stray(pair: Pair) -> list[Pair]:
        other = make_pair("elsewhere")
        return [
            pair,
            other.child("x", branch=Branch.INTER, source_report=other.report.text, report=Report()),
        ]

    with pytest.raises(RuntimeError, match="1 came out whose parent did not go in"):
        apply(Making(stray), [make_pair("a")])


def test_a_dropped_pair_passes_the_next_stage_by() -> None:
    def drop_b(pair: Pair) -> list[Pair]:
        return [pair.dropped("first", "is_b") if pair.id == "b" else pair]

    def mark(pair: Pair) -> list[Pair]:
        return [pair.with_trace("second", seen=True)]

    pairs = apply(Making(drop_b), [make_pair(name) for name in "ab"])
    made = apply(Making(mark), pairs)
    assert [(p.id, p.drop is None, "second" in p.trace) for p in made] == [
        ("a", True, True),
        ("b", False, False),
    ]


def test_a_job_runs_while_the_next_one_is_fetched() -> None:
    fetched = threading.Event()

    def jobs() -> Iterator[Callable[[], int]]:
        # Ends only if the second is fetched before the first has ended.
        yield lambda: 0 if fetched.wait(10) else -1
        fetched.set()
        yield lambda: 1

    assert list(overlap(jobs())) == [0, 1]


def test_overlapped_results_come_in_order_and_no_job_is_fetched_far_ahead() -> None:
    num_fetched = 0

    def jobs() -> Iterator[Callable[[], int]]:
        nonlocal num_fetched
        for number in range(20):
            num_fetched += 1
            yield lambda number=number: number

    for number, result in enumerate(overlap(jobs())):
        assert result == number
        assert num_fetched <= number + 2
    assert list(overlap([])) == []


def test_job_errors_are_raised_to_the_caller() -> None:
    def broken() -> int:
        raise ZeroDivisionError("in the job")

    results = overlap([lambda: 1, broken, lambda: 3])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="in the job"):
        next(results)
