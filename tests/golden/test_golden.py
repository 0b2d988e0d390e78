"""A small demo run holds what it held when it was recorded; record.py compares to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from golden.record import RECORD, content, make_run

EXACT = (
    "id",
    "parent",
    "branch",
    "split",
    "findings",
    "impression",
    "source_report",
    "labels",
    "drop",
)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """(recorded, found) for each pair."""
    found = content(make_run(tmp_path_factory.mktemp("golden") / "run"))
    return list(zip(json.loads(RECORD.read_text()), found, strict=True))


@pytest.mark.parametrize("name", EXACT)
def test_field_of_every_pair_is_as_recorded(entries, name: str) -> None:
    assert [found[name] for _, found in entries] == [recorded[name] for recorded, _ in entries]


def test_scores_are_as_recorded_within_rounding(entries) -> None:
    for recorded, found in entries:
        assert found["scores"] == pytest.approx(recorded["scores"], abs=2e-3), found["id"]


def test_thumbnails_are_as_recorded_within_two_grey_levels(entries) -> None:
    for recorded, found in entries:
        assert (found["image"] is None) == (recorded["image"] is None), found["id"]
        if found["image"] is not None:
            difference = np.subtract(found["image"]["thumbnail"], recorded["image"]["thumbnail"])
            assert np.abs(difference).max() <= 2, found["id"]
