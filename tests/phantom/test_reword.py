"""Reports in the style of rewritten reports: the same findings, another order."""

from __future__ import annotations

import numpy as np
import pytest

from pairaug.findings import extract
from pairaug.phantom.reword import reword
from pairaug.phantom.study import Study, sample_study


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [sample_study(5, index) for index in range(400)]


def positives(text: str) -> set[tuple]:
    return {(s.finding, s.side, s.detail) for s in extract(text) if s.presence == "present"}


def test_all_findings_are_stated_and_no_others(studies: list[Study]):
    for study in studies:
        report = (study.findings_text, study.impression_text)
        text = reword(study.findings, report, np.random.default_rng(study.index))
        # The impression may leave out a side or a finding; the findings section does not.
        assert positives(study.findings_text) <= positives(text), text
        assert positives(text) <= positives(study.text), text


def test_a_present_finding_is_never_denied(studies: list[Study]):
    for study in studies:
        stated = extract(study.reworded(0))
        present = {(s.finding, s.side) for s in stated if s.presence == "present"}
        denied = {(s.finding, s.side) for s in stated if s.presence == "absent" and s.side}
        assert not present & denied, study.reworded(0)


def test_important_findings_are_not_always_first(studies: list[Study]):
    texts = [(study, study.reworded(0)) for study in studies if study.findings]
    starts_alike = np.mean([text.startswith(study.impression_text) for study, text in texts])
    assert 0.1 < starts_alike < 0.6
    denied_first = np.mean([text.startswith(("No ", "There is no ")) for _, text in texts])
    assert denied_first > 0.15


def test_texts_differ_by_variant_and_repeat_by_number(studies: list[Study]):
    study = studies[3]
    assert study.reworded(0) == sample_study(5, 3).reworded(0)
    assert len({study.reworded(variant) for variant in range(6)}) > 3
