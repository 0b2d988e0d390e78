"""Studies by number: independent of order, repeatable, one anatomy for all visits."""

from __future__ import annotations

import numpy as np

from pairaug.phantom.study import sample_study


def test_a_study_does_not_depend_on_the_others():
    alone = sample_study(3, 17)
    for index in (5, 0, 40):
        sample_study(3, index)
    assert sample_study(3, 17) == alone


def test_seed_and_index_decide():
    assert sample_study(3, 17) != sample_study(4, 17)
    assert sample_study(3, 17).anatomy != sample_study(3, 18).anatomy
    # Not only their sum, and not both as one number.
    assert sample_study(3, 4).anatomy != sample_study(4, 3).anatomy


def test_visits_share_the_patient_only():
    visits = [sample_study(3, 17, visit) for visit in range(6)]
    assert len({visit.anatomy for visit in visits}) == 1
    assert len({visit.patient_id for visit in visits}) == 1
    assert len({visit.findings for visit in visits}) > 1
    assert len({visit.text for visit in visits}) == 6


def test_patient_id():
    assert sample_study(0, 1).patient_id == "phantom-000001"


def test_text_is_impression_then_findings():
    study = sample_study(0, 1)
    assert study.text == f"{study.impression_text} {study.findings_text}"


def test_report_variants():
    study = sample_study(0, 1)
    assert study.report(0) == (study.findings_text, study.impression_text)
    assert study.report(1) != study.report(0)
    assert study.report(1) == study.report(1)


def test_render_is_pure():
    image = sample_study(2, 9).render(64)
    again = sample_study(2, 9).render(64)
    assert image.image.shape == (64, 64)
    assert image.image.dtype == np.float32
    assert np.array_equal(image.image, again.image)
