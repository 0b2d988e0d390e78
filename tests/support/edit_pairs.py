"""Pairs to edit: three real ones, each with a child of either branch, and what images they have."""

from __future__ import annotations

import numpy as np

from pairaug.imaging.io import load_image, png_ref
from pairaug.pair import Branch, Pair, Report

CHANGES = (
    ("the heart size is normal", "the heart size is enlarged"),
    ("large right pleural effusion", "no pleural effusion"),
    ("the lungs are clear", "mild edema of the lungs"),
)


def image_of(number: int, height: int = 16, width: int = 16) -> np.ndarray:
    rng = np.random.default_rng(number)
    coarse = np.kron(rng.random((4, 4)), np.ones((height // 4, width // 4)))
    return (0.8 * coarse + 0.1).astype(np.float32)


def source(number: int) -> Pair:
    return Pair(
        id=f"made/{number}",
        branch=Branch.REAL,
        patient_id=f"p{number}",
        report=Report(findings=CHANGES[number][0]),
        image=png_ref(image_of(number)),
    )


def intra(parent: Pair, number: int, name: str = "intra-0") -> Pair:
    report = Report(findings=CHANGES[number][1])
    return parent.child(name, branch=Branch.INTRA, source_report=parent.report.text, report=report)


SOURCES = [source(number) for number in range(3)]
PAIRS = [
    pair
    for number, parent in enumerate(SOURCES)
    for pair in (
        parent,
        parent.child(
            "inter-0", branch=Branch.INTER, source_report=parent.report.text, report=parent.report
        ),
        intra(parent, number),
    )
]


def pixels(pair: Pair) -> np.ndarray:
    assert pair.image is not None
    return load_image(pair.image)
