"""Extent of a general denial: the chest, the bones, or one finding.

"No findings of edema" denies edema alone, "no bony abnormality" the findings of bones, and "no
destructive process" none of the findings extracted here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pairaug.findings.scope import Token

_CHEST = re.compile(r"cardi|pulmon|thora|\bheart\b|\blungs?\b|\bchest\b|airspace|air space")
_BONES = re.compile(r"\b(?:bony|bones?|osseous|osseus|skeletal|skeleton|ribs?|spinal|spine)\b")
_IN_BONES = re.compile(rf"\W*(?:of|in|involving) (?:the )?(?:\w+ ){{0,2}}?{_BONES.pattern}")
_OTHER = re.compile(
    r"\b(?:soft tissues?|abdomen|(?:intra ?-?)?abdominal|femoral|femur|destructive|erosive|"
    r"tubercul\w+|granulomatous|metastatic|malignant|neoplastic|artery|arterial|vascular|valvular|"
    r"cavit\w+|apical|hilar|mediastinal|diaphragm\w*|pleural)\b"
)
_SHOWS = re.compile(r"\b(?:shows?|reveals?|demonstrates?|ha(?:s|ve))\W*$")
_OF = re.compile(
    r"\W*(?:of|for|to (?:suggest|indicate)|(?:suggestive|suspicious|indicative|typical|"
    r"characteristic|diagnostic) (?:of|for)|suggesting|(?:consistent|compatible) with)\b"
)

Extent = Literal["chest", "bones", "nothing"]


def extent(text: str, start: int, noun: Token) -> Extent:
    """Extent of the denial at `start` with a general noun like "abnormality"."""
    words = text[start : noun.start]
    if names_chest(words):
        return "chest"
    if _IN_BONES.match(text, noun.end):
        return "bones"
    subject = text[:start].rpartition(",")[2] if _SHOWS.search(text[:start]) else ""
    if _BONES.search(words) or (_BONES.search(subject) and not names_chest(subject)):
        return "bones"
    return "nothing" if _OTHER.search(words) else "chest"


def names_chest(words: str) -> bool:
    """True for "cardiac, pulmonary or"."""
    return bool(_CHEST.search(words))


def names_one(text: str, tokens: Sequence[Token], index: int) -> bool:
    """True if the noun at `index` only introduces the denied finding: "findings of edema"."""
    if not _OF.match(text, tokens[index].end):
        return False
    following = (
        t.term.role for t in tokens[index + 1 :] if t.term.role not in ("before", "location")
    )
    return next(following, "") in ("finding", "general")
