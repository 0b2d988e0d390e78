"""Makes a finding worse or better: replaces its words of degree, or inserts them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pairaug.findings import Severity, Statement, extract
from pairaug.rewrite.rules.heart import graded_heart
from pairaug.rewrite.rules.kinds import ADVERBS, KIND_OF
from pairaug.rewrite.rules.wording import tidy
from pairaug.rewrite.topics import Topic, topic_of

SEVERITY_WORD = re.compile(
    r"\b(?:very )?(?:(?:mild|small|minimal|slight) to moderate|"
    r"moderate to (?:severe|large|marked)|mild|mildly|minimal|minimally|small|tiny|trace|slight|"
    r"slightly|subtle|faint|moderate|moderately|severe|severely|large|extensive|massive|marked|"
    r"markedly|gross|huge)(?:-sized)?\b",
    re.IGNORECASE,
)
_MODIFIERS = re.compile(
    r"(?:\b(?:left|right|bilateral|bibasilar|bibasal|basilar|basal|upper|mid|middle|lower|lobe|lobes|"
    r"lung|zone|zones|sided|side|pleural|pulmonary|interstitial|alveolar|airspace|air|space|focal|"
    r"patchy|hazy|linear|layering|subsegmental|segmental|apical|perihilar|retrocardiac|diffuse|"
    r"multifocal|peripheral|nodular|reticular|confluent|streaky|vague|dense|vascular|venous|ground|"
    r"glass|loculated|residual)\b[\s,\-]*)*$",
    re.IGNORECASE,
)
# A degree can follow these: an article, a verb, or the start of an item or sentence.
_TAKES_AN_ADJECTIVE = re.compile(
    r"(?:^|\b(?:an?|the|is|are|with|and|include|by)\s+|,\s+)$", re.IGNORECASE
)
_TAKES_AN_ADVERB = re.compile(
    r"(?:enlarged|widened|dilated|increased|prominent|congested|engorged|elevated|thickened)\b",
    re.IGNORECASE,
)
_TAKES_NO_DEGREE = re.compile(r"kerley|ground glass|collapse|veiling", re.IGNORECASE)


def grade(sentences: Sequence[str], topic: Topic, severity: Severity) -> list[str] | None:
    """The report with another degree of `topic`, where one is stated, else at its first mention."""
    mentions = [
        number
        for number, sentence in enumerate(sentences)
        if any(s.presence == "present" and topic_of(s) == topic for s in extract(sentence))
    ]
    graded = [number for number in mentions if _grades(sentences[number], topic)]
    changed = list(sentences)
    for number in graded or mentions[:1]:
        sentence = _grade(sentences[number], topic, severity)
        if sentence is None:
            return None
        changed[number] = sentence
    return changed if changed != list(sentences) else None


def _grades(sentence: str, topic: Topic) -> bool:
    return any(s.severity for s in extract(sentence) if topic_of(s) == topic)


def _grade(sentence: str, topic: Topic, severity: Severity) -> str | None:
    statement = next(
        s for s in extract(sentence) if s.presence == "present" and topic_of(s) == topic
    )
    if _TAKES_NO_DEGREE.match(sentence, statement.start):
        return None
    if topic.finding == "cardiomegaly":
        heart = graded_heart(sentence, severity)
        if heart:
            return heart
    start, end = _reach(sentence, statement)
    found = list(SEVERITY_WORD.finditer(sentence, start, end))
    before = [word for word in found if word.end() <= statement.start]
    chosen = before[-1] if before else (found[0] if found else None)
    if chosen:
        word = _degree_word(topic, severity, chosen.group())
        if _TAKES_AN_ADVERB.match(sentence, chosen.end() + 1):
            word = ADVERBS[severity]
        return tidy(f"{sentence[: chosen.start()]}{word}{sentence[chosen.end() :]}")
    if statement.severity:
        return None  # its degree is elsewhere in the sentence
    head = _MODIFIERS.search(sentence[: statement.start])
    position = head.start() if head else statement.start
    if not _TAKES_AN_ADJECTIVE.search(sentence[:position]):
        return None
    rest = sentence[position:]
    if position == 0 and not rest[1:2].isupper():
        rest = rest[:1].lower() + rest[1:]
    word = _degree_word(topic, severity, "")
    if _TAKES_AN_ADVERB.match(rest):
        word = ADVERBS[severity]
    return tidy(f"{sentence[:position]}{word} {rest}")


def _reach(sentence: str, statement: Statement) -> tuple[int, int]:
    """Start and end of the item around a statement, within which its degree can be."""
    start = max(
        (match.end() for match in re.finditer(r"[,;]| and | with ", sentence[: statement.start])),
        default=0,
    )
    after = re.search(r"[,;]| and | with ", sentence[statement.end :])
    return start, statement.end + after.start() if after else len(sentence)


def _degree_word(topic: Topic, severity: Severity, old: str) -> str:
    if old.lower().endswith("ly"):
        return ADVERBS[severity]
    kind = KIND_OF.get(topic)
    words = kind.severity_words if kind else {}
    word = words.get(severity, (severity,))[0]
    if topic.finding == "consolidation" and severity == "severe":
        word = "extensive"
    return word
