"""Pairs to generate images for: five real ones, each with a child of either branch."""

from __future__ import annotations

import numpy as np

from pairaug.imaging.io import load_image
from pairaug.pair import Branch, ImageRef, Pair, Report

REPORTS = (
    "the heart size is normal",
    "large right pleural effusion",
    "no acute finding",
    "the lungs are clear",
    "mild edema",
)


def real(number: int) -> Pair:
    return Pair(
        id=f"made/{number}",
        branch=Branch.REAL,
        patient_id=f"p{number}",
        report=Report(findings=REPORTS[number]),
        image=ImageRef(path=f"/images/{number}.png"),
    )


def with_children(number: int) -> list[Pair]:
    source = real(number)
    report = Report(findings=REPORTS[-1 - number])
    return [
        source,
        source.child(
            "inter-0", branch=Branch.INTER, source_report=source.report.text, report=report
        ),
        source.child(
            "intra-0", branch=Branch.INTRA, source_report=source.report.text, report=report
        ),
    ]


PAIRS = [pair for number in range(5) for pair in with_children(number)]


def image(pair: Pair) -> np.ndarray:
    assert pair.image is not None
    return load_image(pair.image)
