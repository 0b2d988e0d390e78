from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pairaug.summary.charts import Points, histogram, points_map, rates
from pairaug.summary.flow import Lane, flow

RNG = np.random.default_rng(0)


def _elements(picture: str, style: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(picture)
    return [element for element in root.iter() if style in (element.get("class") or "").split()]


def _count(bar: ElementTree.Element) -> int:
    title = bar.find("title")
    assert title is not None
    assert title.text
    return int(title.text.split()[0])


def _histogram(kept: np.ndarray, dropped: np.ndarray, **options: object) -> str:
    return histogram(kept, dropped, colour="inter", label="a test", **options)  # type: ignore[arg-type]


def test_histogram_bars_hold_every_pair_once():
    kept, dropped = RNG.normal(0.4, 0.1, 57), RNG.normal(0.2, 0.1, 31)
    picture = _histogram(kept, dropped, rule=0.3)
    assert sum(_count(bar) for bar in _elements(picture, "inter")) == 57
    assert sum(_count(bar) for bar in _elements(picture, "lost")) == 31


def test_no_bar_lies_on_both_sides_of_the_rule():
    picture = _histogram(RNG.normal(0.4, 0.1, 57), RNG.normal(0.2, 0.1, 31), rule=0.3)
    (rule,) = _elements(picture, "rule")
    at = float(rule.get("x1", "nan"))
    for bar in _elements(picture, "bar"):
        start = float(bar.get("x", "nan"))
        end = start + float(bar.get("width", "nan"))
        assert start >= at - 0.6 or end <= at + 0.6


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [-1.0, 1.0]])
def test_histogram_of_few_or_equal_values(values: list[float]):
    picture = _histogram(np.asarray(values), np.empty(0))
    assert sum(_count(bar) for bar in _elements(picture, "inter")) == len(values)


def test_histogram_includes_a_rule_far_from_all_values():
    picture = _histogram(np.array([0.1, 0.12]), np.empty(0), rule=0.9)
    (rule,) = _elements(picture, "rule")
    assert 0 < float(rule.get("x1", "nan")) < 262


def test_points_map_has_a_mark_for_each_point_inside_its_frame():
    positions = RNG.normal(size=(9, 2)) * 40
    groups = [Points("real", positions[:5], ["<a>"] * 5), Points("intra", positions[5:], ["b"] * 4)]
    picture = points_map(groups, [(*positions[0], *positions[5])], "a test")
    marks = _elements(picture, "real")
    assert len(marks) == 5
    assert all(0 < float(point.get("cx", "nan")) < 470 for point in marks)
    assert len(_elements(picture, "intra")) == 4
    assert len(_elements(picture, "link")) == 1


def test_rates_shows_every_number():
    picture = rates([("edema", {"real": 0.25, "inter": 0.5})], "a test")
    assert [element.text for element in _elements(picture, "value")] == ["25%", "50%"]


def _lanes() -> list[Lane]:
    return [
        Lane("real", "real pairs", "real pairs", 0, 10, {0: {"image_missing": 2}}),
        Lane("inter", "for new patients", "new", 1, 8, {1: {"a": 1}, 4: {"b": 3, "c": 1}}),
    ]


def test_a_lane_ends_with_the_pairs_that_were_kept():
    assert [lane.num_left for lane in _lanes()] == [8, 3]
    assert _lanes()[1].num_into(4) == 7


def test_flow_names_all_drops_with_their_counts():
    picture = flow(_lanes())
    lost = {element.text for element in _elements(picture, "loss")}
    assert lost == {"−2 image missing", "−1 a", "−3 b", "−1 c"}
    assert [element.text for element in _elements(picture, "result")] == ["8", "3"]


def test_flow_of_no_pairs():
    picture = flow([Lane("real", "real pairs", "real pairs", 0, 0)])
    assert [element.text for element in _elements(picture, "result")] == ["0"]


def test_flow_lanes_do_not_overlap():
    lanes = [Lane(name, "x", "y", 0, 50_000) for name in ("real", "inter", "intra")]
    picture = flow(lanes)
    nodes = [
        next(element for element in _elements(picture, name) if element.tag == "rect")
        for name in ("real", "inter", "intra")
    ]
    tops = [float(node.get("y", "nan")) for node in nodes]
    bottoms = [float(node.get("y", "nan")) + float(node.get("height", "nan")) for node in nodes]
    assert bottoms[0] < tops[1]
    assert bottoms[1] < tops[2]
