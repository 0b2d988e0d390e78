"""The phantom reader: pairs that can be generated again from their own trace."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from pairaug.imaging.io import load_image
from pairaug.pair import FINDINGS, Branch
from pairaug.phantom.findings import Finding
from pairaug.phantom.study import sample_study
from pairaug.readers.phantom import PhantomReader, PhantomSource
from pairaug.readers.splits import SplitFractions
from pairaug.stage import RunContext


def _read(context_seed=5, **settings):
    return list(PhantomReader(PhantomSource(**settings), RunContext(seed=context_seed)))


def test_pairs():
    pairs = _read(num_patients=6, size=64)
    assert [pair.id for pair in pairs] == [f"phantom/{index:06d}" for index in range(6)]
    assert pairs[1].patient_id == "phantom-000001"
    assert {pair.branch for pair in pairs} == {Branch.REAL}
    assert {pair.split for pair in pairs} == {"train"}
    for pair in pairs:
        assert pair.drop is None
        assert pair.image is not None
        assert (pair.image.path, pair.image.height, pair.image.width) == (None, 64, 64)
        assert pair.report.findings
        assert pair.report.impression
        assert set(pair.labels) <= set(FINDINGS)


def test_trace_renders_the_same_patient():
    for pair in _read(num_patients=4, size=64):
        trace = pair.trace["read"]
        study = sample_study(trace["seed"], trace["index"], trace["visit"])
        assert study.text == pair.report.text
        assert study.findings == tuple(Finding(**finding) for finding in trace["findings"])
        image = study.render(trace["size"]).image
        assert np.abs(load_image(pair.image) - image).max() <= 0.5 / 255 + 1e-6


def test_more_patients_start_with_the_same_ones():
    assert _read(num_patients=6, size=32)[:3] == _read(num_patients=3, size=32)


def test_source_seed_overrides_run_seed():
    assert _read(5, num_patients=2, size=32) != _read(6, num_patients=2, size=32)
    own = [_read(seed, num_patients=2, size=32, seed=11) for seed in (5, 6)]
    assert own[0] == own[1]


def test_splits_are_by_patient_and_as_asked():
    fractions = SplitFractions(validation_fraction=0.3, test_fraction=0.3)
    pairs = _read(num_patients=60, size=32, split=fractions)
    assert {pair.split for pair in pairs} == {"train", "validation", "test"}
    assert all(pair.split == fractions.split_of(pair.patient_id) for pair in pairs)


def test_reports_progress():
    reported: list[int] = []
    reader = PhantomReader(
        PhantomSource(num_patients=3, size=32), RunContext(seed=0, report_progress=reported.append)
    )
    assert list(reader) == list(reader)
    assert reported == [1] * 6


def test_provenance_is_public():
    described = PhantomReader(PhantomSource(), RunContext(seed=0)).describe()
    assert (described.layout, described.access) == ("phantom", "public")


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="num_pateints"):
        PhantomSource(num_pateints=3)  # pyright: ignore[reportCallIssue]
