"""Sentences for findings, denials and normal regions, in the words of plain reports.

Findings have the same words as in the phantoms' reports, so that a generator trained on those
understands them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from pairaug.rewrite.rules.kinds import ADVERBS, ZONE_PLACES, ZONE_WORDS, Described

_SPACES = re.compile(r"\s+")
_ARTICLES = (
    (re.compile(r"\b([Aa]) (?=[aeio]|unf)"), r"\1n "),
    (re.compile(r"\b([Aa])n (?=[bcdfghjklmnpqrstvwxyz])"), r"\1 "),
)
THERE_IS = (
    "There is {np}.",
    "There is {np}.",
    "{np} is present.",
    "{np} is seen.",
    "{np} is noted.",
)
THERE_ARE = ("There are {np}.", "{np} are present.", "{np} are seen.", "{np} are noted.")
DENIALS = ("No {items}.", "There is no {items}.", "No evidence of {items}.", "No {items} is seen.")
NORMAL_HEART = (
    "The heart is normal in size.",
    "Heart size is normal.",
    "The cardiac silhouette is normal in size.",
    "Heart size is within normal limits.",
    "The heart is not enlarged.",
)
NORMAL_MEDIASTINUM = (
    "Mediastinal contours are normal.",
    "The mediastinum is unremarkable.",
    "The mediastinal contours are within normal limits.",
)
NORMAL_LUNGS = ("The lungs are clear.", "Lungs are clear.", "Both lungs are clear.", "Clear lungs.")
NORMAL_VESSELS = ("Pulmonary vasculature is normal.", "Normal pulmonary vascularity.")
NORMAL_BONES = (
    "No acute osseous abnormality.",
    "The visualized bones are intact.",
    "Osseous structures are intact.",
)
ALL_NORMAL = (
    "No acute cardiopulmonary abnormality.",
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary disease.",
)
_DEVICE_SENTENCES: dict[str, tuple[str, ...]] = {
    "pacemaker": (
        "A {side} chest wall pacemaker is in place.",
        "{side} chest wall pacemaker with leads in the right atrium and ventricle.",
        "A {side}-sided pacemaker is in place.",
    ),
    "central venous catheter": (
        "A {side} central venous catheter is in place.",
        "{side} central venous catheter with tip in the superior vena cava.",
        "{side} internal jugular central line with tip in the superior vena cava.",
    ),
    "endotracheal tube": (
        "An endotracheal tube is in place.",
        "The endotracheal tube ends above the carina.",
        "Endotracheal tube tip lies above the carina.",
    ),
}


def tidy(text: str) -> str:
    """`text` with single spaces, the right articles and a capital at its start."""
    text = _SPACES.sub(" ", text).strip()
    for pattern, replacement in _ARTICLES:
        text = pattern.sub(replacement, text)
    return text[:1].upper() + text[1:]


def noun_phrase(finding: Described, rng: Random, short: bool = False) -> str:
    """The finding without article: "small left pleural effusion"."""
    kind = finding.kind
    degree = ""
    if finding.severity:
        words = kind.severity_words[finding.severity]
        degree = words[0] if short else rng.choice(words)
    is_bilateral = finding.side == "bilateral"
    noun = kind.plural if is_bilateral else kind.noun
    side = finding.side or ""
    if not finding.zone:
        return _SPACES.sub(" ", f"{degree} {side} {noun}").strip()
    zones = ZONE_WORDS[finding.zone]
    if short or is_bilateral or rng.random() < 0.6:
        zone = zones[0] if short else rng.choice(zones)
        return _SPACES.sub(" ", f"{degree} {side} {zone} {noun}").strip()
    phrase = rng.choice(ZONE_PLACES[finding.zone]).format(side=side)
    return _SPACES.sub(" ", f"{degree} {noun} {phrase}").strip()


def sentence(finding: Described, rng: Random) -> str:
    """The finding as a sentence."""
    kind = finding.kind
    if kind.is_device:
        return tidy(rng.choice(_DEVICE_SENTENCES[kind.noun]).format(side=finding.side))
    if kind.noun == "cardiomegaly" and finding.severity and rng.random() < 0.5:
        subject = rng.choice(("The heart", "The cardiac silhouette"))
        return f"{subject} is {ADVERBS[finding.severity]} enlarged."
    phrase = noun_phrase(finding, rng)
    if rng.random() < 0.4:
        return tidy(f"{phrase}.")
    if finding.side == "bilateral" and kind.plural != kind.noun:
        return tidy(rng.choice(THERE_ARE).format(np=phrase))
    article = "a " if kind.is_countable else ""
    return tidy(rng.choice(THERE_IS).format(np=f"{article}{phrase}"))


def denial(items: Sequence[str], rng: Random | None = None) -> str:
    """ "No A, B or C."; the plainest wording without `rng`."""
    listed = listing(items, "or", has_last_comma=False)
    frame = rng.choice(DENIALS) if rng else DENIALS[0]
    if len(items) > 1 or items[0].endswith("s"):
        frame = frame.replace(" is seen", "")
    return tidy(frame.format(items=listed))


def listing(items: Sequence[str], word: str, has_last_comma: bool) -> str:
    """Items as a list: "A", "A and B", "A, B and C"."""
    if len(items) == 1:
        return items[0]
    comma = "," if has_last_comma and len(items) > 2 else ""
    return f"{', '.join(items[:-1])}{comma} {word} {items[-1]}"
