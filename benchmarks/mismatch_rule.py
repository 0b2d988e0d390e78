"""Which wrong images the rule `mismatch-quantile` lets pass, on phantoms whose truth is known.

    python benchmarks/mismatch_rule.py --out docs/results/mismatch-rule.json

Phantoms are rendered with their own findings, without one of them, and with one on the other side.
The bound is the rule's: a quantile of the cosines between images and other patients' reports.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pairaug.bundled import folder
from pairaug.clip.encoders import open_encoder
from pairaug.phantom.findings import KINDS, Finding
from pairaug.phantom.render import render
from pairaug.phantom.study import Study, sample_study
from pairaug.phantom.truth import is_drawable

QUANTILE = 0.95


def without_one(study: Study, chosen: Finding) -> tuple[Finding, ...]:
    """The study's findings less `chosen`."""
    return tuple(finding for finding in study.findings if finding != chosen)


def on_the_other_side(study: Study, chosen: Finding) -> tuple[Finding, ...]:
    """The study's findings with `chosen` on the other side; as they are where it has no side."""
    if chosen.side is None:
        return study.findings
    moved = replace(chosen, side="left" if chosen.side == "right" else "right")
    return (*without_one(study, chosen), moved)


def altered(
    studies: list[Study], change: Callable[[Study, Finding], tuple[Finding, ...]], size: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(index of each study that could be altered, its image with one finding changed)."""
    indices, images = [], []
    for index, study in enumerate(studies):
        rng = np.random.default_rng(index)
        own = [finding for finding in study.findings if not KINDS[finding.kind].is_device]
        for place in rng.permutation(len(own)):
            findings = change(study, own[place])
            if is_drawable(findings) and set(findings) != set(study.findings):
                indices.append(index)
                images.append(render(study.anatomy, findings, size).image)
                break
    return np.array(indices), images


def measure(num_patients: int, seed: int) -> dict[str, object]:
    """Passing fractions of each kind of image, with their counts."""
    encoder = open_encoder(folder("scorer"), device="cpu")
    studies = [sample_study(seed, index) for index in range(num_patients)]
    size = 128
    reports = encoder.encode_reports([study.text for study in studies])
    images = encoder.encode_images([study.render(size).image for study in studies])
    cosines = images @ reports.T
    others = cosines[~np.eye(num_patients, dtype=bool)]
    bound = float(np.quantile(others, QUANTILE, method="inverted_cdf"))
    scores = {"its own": np.diagonal(cosines), "another patient's": others}
    for name, change in (
        ("lacks one finding", without_one),
        ("one finding on the other side", on_the_other_side),
    ):
        indices, changed = altered(studies, change, size)
        vectors = encoder.encode_images(changed)
        scores[name] = (vectors * reports[indices]).sum(axis=1)
    rows = [[name, len(values), float((values > bound).mean())] for name, values in scores.items()]
    columns = ["image for the report", "number", "fraction that passes"]
    return {
        "bound": bound,
        "tables": {"passes": {"columns": columns, "decimals": [None, 0, 3], "rows": rows}},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7_000_002)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found = measure(options.patients, options.seed)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
