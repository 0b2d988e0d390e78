"""A phantom's report in the style of a rewritten report: sentences reordered, often no impression.

`describe.py` states important findings first and repeats them in the impression. Rewritten reports
state new findings at the end, or deny resolved ones first; a model trained only on the former style
ignores them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pairaug.phantom import phrases
from pairaug.phantom.findings import KINDS, SEVERITIES, SIDES, Finding
from pairaug.phantom.phrases import fill, pick

# Both are lung lesions: a report that states one does not deny the other.
_LESIONS = frozenset({"nodule", "mass"})


def reword(findings: Sequence[Finding], report: tuple[str, str], rng: np.random.Generator) -> str:
    """The report (findings section, impression) as one text, its sentences in another order.

    Half of the texts have no impression. Up to two absent findings are denied by side and zone. No
    finding in `findings` is left out or denied.
    """
    text, impression = report
    said = _sentences(text)
    rng.shuffle(said)
    for _ in range(int(rng.integers(3))):
        denial = _denial(findings, rng)
        if denial is not None:
            said.insert(int(rng.integers(len(said) + 1)) * int(rng.random() < 0.6), denial)
    if rng.random() < 0.5:
        start = _sentences(impression)
        said = [*start, *said] if rng.random() < 0.7 else [*said, *start]
    return " ".join(said)


def _sentences(text: str) -> list[str]:
    return [f"{part.strip()}." for part in text.split(".") if part.strip()]


def _denial(findings: Sequence[Finding], rng: np.random.Generator) -> str | None:
    """A denial of a sampled finding; None if it is present on the sampled side."""
    kind = KINDS[pick(tuple(phrases.DENIED), rng)]
    side = SIDES[int(rng.integers(2))] if kind.has_side else None
    alike = _LESIONS if kind.name in _LESIONS else {kind.name}
    if any(other.kind in alike and other.side == side for other in findings):
        return None
    finding = Finding(
        kind.name,
        side,
        kind.zones[int(rng.integers(len(kind.zones)))] if kind.zones else None,
        SEVERITIES[0] if kind.severities else None,
    )
    phrase = fill(pick(phrases.NOUN_PHRASES[kind.name], rng), finding, rng, severity=False)
    return phrases.DENIALS[int(rng.integers(len(phrases.DENIALS)))].format(items=phrase)
