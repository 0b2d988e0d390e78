"""Properties of a phantom's image: findings in the right zone and side, the same patient."""

import dataclasses

import numpy as np
import pytest

from pairaug.phantom.anatomy import Anatomy, sample_anatomy
from pairaug.phantom.findings import (
    KINDS,
    LABELS,
    SEVERITIES,
    SIDES,
    Finding,
    label_vector,
    sample_findings,
)
from pairaug.phantom.render import render


def anatomies(count: int) -> list[Anatomy]:
    rng = np.random.default_rng(11)
    return [sample_anatomy(rng) for _ in range(count)]


def every_finding() -> list[Finding]:
    return [
        Finding(kind.name, side, zone, severity)
        for kind in KINDS.values()
        for side in (SIDES if kind.has_side else (None,))
        for zone in (kind.zones or (None,))
        for severity in (kind.severities or (None,))
    ]


def test_image_is_valid_and_repeatable() -> None:
    for anatomy in anatomies(5):
        image = render(anatomy)
        assert image.image.dtype == np.float32
        assert image.image.shape == (128, 128)
        assert 0.0 <= image.image.min() < 0.2
        assert 0.7 < image.image.max() <= 1.0
        assert np.array_equal(image.image, render(anatomy).image)


@pytest.mark.parametrize("finding", every_finding(), ids=str)
def test_finding_shows_on_its_side_and_inside_its_mask(finding: Finding) -> None:
    for anatomy in anatomies(4):
        normal, image = render(anatomy), render(anatomy, [finding])
        difference = np.abs(image.image - normal.image)
        assert finding.label in image.masks
        mask = image.masks[finding.label]
        assert mask.any(), "the finding's mask is empty"
        assert difference[mask].mean() > 0.025, "the finding does not show"
        if finding.side and not KINDS[finding.kind].is_device:
            # The patient's left is at the image's right; the mediastinum shifts little.
            halves = {"right": difference[:, :64].sum(), "left": difference[:, 64:].sum()}
            other = "left" if finding.side == "right" else "right"
            assert halves[finding.side] > 1.4 * halves[other]


@pytest.mark.parametrize("kind", ["pleural effusion", "pneumothorax", "consolidation", "edema"])
def test_worse_means_more(kind: str) -> None:
    shape = KINDS[kind]
    side = "left" if shape.has_side else None
    zone = shape.zones[0] if shape.zones else None
    for anatomy in anatomies(4):
        normal = render(anatomy).image
        change = [
            np.abs(render(anatomy, [Finding(kind, side, zone, severity)]).image - normal).sum()
            for severity in SEVERITIES
        ]
        assert change == sorted(change)


def test_cardiothoracic_ratio_separates_cardiomegaly() -> None:
    def ratio(anatomy: Anatomy, findings: list[Finding]) -> float:
        masks = render(anatomy, findings, 256).masks
        heart = np.flatnonzero(masks["heart"].any(axis=0))
        lungs = np.flatnonzero((masks["left lung"] | masks["right lung"]).any(axis=0))
        return (heart[-1] - heart[0]) / (lungs[-1] - lungs[0])

    for anatomy in anatomies(12):
        straight = dataclasses.replace(anatomy, scoliosis=0.0, rotation=0.0)
        assert ratio(straight, []) < 0.52
        assert ratio(straight, [Finding("cardiomegaly", severity="moderate")]) > 0.54


def test_patient_stays_the_same_outside_the_finding() -> None:
    nodule = Finding("nodule", "right", "upper")
    for anatomy in anatomies(6):
        normal, image = render(anatomy), render(anatomy, [nodule])
        rows, columns = np.nonzero(image.masks[nodule.label])
        outside = np.ones_like(image.image, dtype=bool)
        outside[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = False
        assert np.array_equal(image.image[outside], normal.image[outside])


def test_growing_lesion_keeps_its_position() -> None:
    for anatomy in anatomies(6):
        centres = []
        for severity in ("mild", "severe"):
            finding = Finding("consolidation", "left", "middle", severity)
            rows, columns = np.nonzero(render(anatomy, [finding]).masks[finding.label])
            centres.append((rows.mean(), columns.mean()))
        assert np.hypot(*np.subtract(*centres)) < 10


def test_image_scales() -> None:
    anatomy = anatomies(1)[0]
    small = render(anatomy, [], 128).image
    large = render(anatomy, [], 256).image.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.abs(small - large).mean() < 0.02


def test_sampled_findings_do_not_exclude_each_other() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(len(LABELS))
    for _ in range(2000):
        findings = sample_findings(rng)
        counts += label_vector(findings)
        for side in SIDES:
            kinds = {finding.kind for finding in findings if finding.side == side}
            assert not {"pneumothorax", "pleural effusion"} <= kinds
            assert not {"nodule", "mass"} <= kinds
    assert (counts / 2000 > 0.05).all()
    assert (counts / 2000 < 0.35).all()
