"""The pair: identity, children, changed copies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pairaug.findings.statement import FINDINGS as EXTRACTED_FINDINGS
from pairaug.pair import FINDINGS, Branch, Drop, ImageRef, Pair, Report

PARENT = Pair(
    id="covid/0001",
    branch=Branch.REAL,
    patient_id="p7",
    report=Report(findings="Clear lungs.", impression="Normal."),
    split="validation",
    image=ImageRef(path="/images/1.png"),
    labels={"edema": False},
    scores={"image_report": 0.5},
    trace={"read": {"row": 3}},
)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (Report("Clear lungs.", "Normal."), "Normal. Clear lungs."),
        (Report(findings="Clear lungs."), "Clear lungs."),
        (Report(impression=" Normal.\n"), "Normal."),
        (Report("  ", ""), ""),
    ],
)
def test_report_text_is_impression_then_findings(report: Report, text: str) -> None:
    assert report.text == text


def test_a_pair_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PARENT.id = "other"  # type: ignore[misc]


def test_inter_child_is_a_new_patient_in_its_parents_split() -> None:
    child = PARENT.child(
        "inter-0",
        branch=Branch.INTER,
        source_report=PARENT.report.text,
        report=Report(impression="Edema."),
    )
    assert child.id == child.patient_id == "covid/0001~inter-0"
    assert (child.parent_id, child.source_patient_id) == ("covid/0001", "p7")
    assert (child.split, child.branch) == ("validation", Branch.INTER)
    assert child.image is None
    assert child.labels == child.scores == child.trace == {}


def test_intra_child_is_its_parents_patient() -> None:
    child = PARENT.child(
        "intra-0", branch=Branch.INTRA, source_report=PARENT.report.text, report=Report()
    )
    assert child.patient_id == child.source_patient_id == "p7"


def test_grandchild_keeps_the_first_patient_as_its_source() -> None:
    child = PARENT.child(
        "inter-0", branch=Branch.INTER, source_report=PARENT.report.text, report=Report()
    )
    grandchild = child.child(
        "intra-0", branch=Branch.INTRA, source_report=child.report.text, report=Report()
    )
    assert grandchild.source_patient_id == "p7"
    assert grandchild.patient_id == child.patient_id


def test_scores_and_trace_are_added_to_what_is_there() -> None:
    pair = (
        PARENT.with_scores(directional=0.25)
        .with_trace("read", row=4)
        .with_trace("score", model="m")
    )
    assert pair.scores == {"image_report": 0.5, "directional": 0.25}
    assert pair.trace == {"read": {"row": 4}, "score": {"model": "m"}}
    assert PARENT.scores == {"image_report": 0.5}
    assert PARENT.trace == {"read": {"row": 3}}


def test_embeddings_become_plain_floats_and_the_other_one_stays() -> None:
    pair = PARENT.with_embeddings(image=np.array([0.5, 0.25], np.float32))
    pair = pair.with_embeddings(report=[1.0])
    assert pair.image_embedding == (0.5, 0.25)
    assert pair.report_embedding == (1.0,)
    assert type(pair.image_embedding[0]) is float


def test_dropped() -> None:
    assert PARENT.dropped("edit", "failed", "3 candidates").drop == Drop(
        "edit", "failed", "3 candidates"
    )
    assert PARENT.drop is None


def test_repr_omits_images_and_embeddings() -> None:
    pair = PARENT.with_image(ImageRef(png=b"\x89PNG-bytes")).with_embeddings(image=[0.123456])
    assert "PNG-bytes" not in repr(pair)
    assert "0.123456" not in repr(pair)


def test_labels_are_the_extracted_findings() -> None:
    assert FINDINGS == EXTRACTED_FINDINGS
