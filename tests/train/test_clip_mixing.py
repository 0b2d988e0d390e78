"""The pairs of each step: real and synthetic ones mixed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pairaug.config import load_model
from pairaug.errors import SettingsError
from pairaug.train.clip import ClipSettings, MixSettings
from pairaug.train.clip.mixing import Mix
from pairaug.train.loop import indices_of_step

BRANCHES = np.array([0] * 10 + [1] * 6 + [2] * 4, np.int8)


def mix(weights: np.ndarray | None = None, batch_size: int = 5, **settings: object) -> Mix:
    weights = np.ones(len(BRANCHES)) if weights is None else weights
    return Mix(MixSettings.model_validate(settings), BRANCHES, weights, 7, batch_size)


def epoch(of: Mix, first: int, num_steps: int) -> list[int]:
    return [int(index) for step in range(first, first + num_steps) for index in of.positions(step)]


def test_union_shuffles_every_epoch():
    union = mix()
    assert sorted(epoch(union, 0, 4)) == sorted(epoch(union, 4, 4)) == list(range(20))
    assert epoch(union, 0, 4) != epoch(union, 4, 4)
    assert union.num_steps(2.0) == 8


def test_union_order_equals_the_shared_loop():
    for step in (0, 3, 4, 11):
        assert np.array_equal(mix(batch_size=7).positions(step), indices_of_step(7, step, 7, 20))


def test_steps_are_independent():
    for order in ("union", "ratio", "synthetic-first"):
        one, other = mix(order=order), mix(order=order)
        one.plan(20)
        other.plan(20)
        in_order = [one.positions(step) for step in range(12)]
        for step in (9, 2, 11):
            assert np.array_equal(other.positions(step), in_order[step])


def test_weights():
    weights = np.where(BRANCHES == 1, 2.5, np.where(BRANCHES == 2, 0.5, 1.0))
    weighted = mix(weights, batch_size=27)
    counts = [Counter(epoch(weighted, step, 1)) for step in range(2)]
    for count in counts:
        assert all(count[index] == 1 for index in range(10))
        assert sorted(count[index] for index in range(10, 16)) == [2, 2, 2, 3, 3, 3]
        assert sum(count[index] for index in range(16, 20)) == 2
    assert counts[0] != counts[1]


def test_caps_resample_each_epoch():
    capped = mix(batch_size=13, max_per_epoch={"inter": 2, "intra": 1})
    first, second = epoch(capped, 0, 1), epoch(capped, 1, 1)
    for sampled in (first, second):
        assert Counter(int(BRANCHES[index]) for index in sampled) == {0: 10, 1: 2, 2: 1}
    seen = {index for step in range(20) for index in epoch(capped, step, 1)}
    assert seen == set(range(20))


def test_ratio_is_exact_over_steps():
    ratio = mix(order="ratio", synthetic_fraction=0.3)
    sampled = [BRANCHES[ratio.positions(step)] for step in range(40)]
    assert {int((each > 0).sum()) for each in sampled} == {1, 2}
    assert sum(int((each > 0).sum()) for each in sampled) == 60
    real = [int(p) for s in range(40) for p in ratio.positions(s) if BRANCHES[p] == 0]
    assert Counter(real).most_common() == [(index, 14) for index, _ in Counter(real).most_common()]


def test_synthetic_first_then_real_alone():
    ordered = mix(order="synthetic-first", synthetic_fraction=0.25)
    ordered.plan(8)
    kinds = [set((BRANCHES[ordered.positions(step)] > 0).tolist()) for step in range(8)]
    assert kinds == [{True}] * 2 + [{False}] * 6


@pytest.mark.parametrize("order", ["ratio", "synthetic-first"])
def test_mixing_without_synthetic_pairs(order: str):
    settings = MixSettings.model_validate({"order": order})
    with pytest.raises(SettingsError, match=f"mixing.order is {order}, which needs synthetic"):
        Mix(settings, np.zeros(5, np.int8), np.ones(5), 0, 2)


def test_synthetic_first_needs_the_number_of_steps():
    with pytest.raises(SettingsError, match="synthetic-first needs max_steps or epochs"):
        load_model(ClipSettings, None, ["mixing.order=synthetic-first", "max_minutes=3"])
