"""The same report in other words: stated, denied and open findings stay the same.

For the comparison with text augmentation alone: new reports for existing images.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pairaug.findings import Statement, extract, sentences
from pairaug.pair import Report
from pairaug.rewrite.rules.inter import Patient, written
from pairaug.rewrite.rules.kinds import KIND_OF, OTHER_DENIALS, Described
from pairaug.rewrite.topics import Topic, changes_between, lost_topics, topic_of

_ATTEMPTS = 20


def reworded(text: str, rng: Random, max_words: int) -> Report | None:
    """`text` in other words, with the same findings, sides, zones and degrees as read by the rules.

    Sentences about findings that the rules have no words for, and about open ones, are kept
    unchanged. None if no wording of at most `max_words` words has the original's findings.
    """
    stated = tuple(extract(text))
    kept = _unwritable(text, stated)
    patient = _patient(stated)
    for _ in range(_ATTEMPTS):
        room = max_words - len(" ".join(kept).split())
        report = written(patient, rng, room, adds_normals=False)
        candidate = Report(" ".join([report.findings, *kept]).strip(), report.impression)
        if candidate.text == text or len(candidate.text.split()) > max_words:
            continue
        if _reads_alike(stated, tuple(extract(candidate.text))):
            return candidate
    return None


def _patient(stated: Sequence[Statement]) -> Patient:
    """The findings that the rules have words for: the most precise statement by kind and side."""
    present: dict[tuple[Topic, str | None], Statement] = {}
    for statement in stated:
        if statement.presence == "present" and topic_of(statement) in KIND_OF:
            key = topic_of(statement), statement.side
            before = present.get(key)
            if before is None or _detail(statement) > _detail(before):
                present[key] = statement
    held = {topic for topic, _ in present}
    findings = [
        _describe(statement)
        for (topic, side), statement in present.items()
        # "Effusion" adds nothing to "left effusion".
        if side is not None or not any(t == topic and s is not None for t, s in present)
    ]
    denied = [
        topic_of(statement)
        for statement in stated
        if statement.presence == "absent" and not statement.implied
        and topic_of(statement) not in held
    ]  # fmt: skip
    return Patient(tuple(findings), tuple(dict.fromkeys(denied)))


def _detail(statement: Statement) -> int:
    return (statement.severity is not None) + (statement.zone is not None)


def _describe(statement: Statement) -> Described:
    kind = KIND_OF[topic_of(statement)]
    severity = statement.severity if statement.severity in kind.severities else None
    zone = statement.zone if statement.zone in kind.zones else None
    return Described(kind, statement.side if kind.is_sided else None, zone, severity)


def _unwritable(text: str, stated: Sequence[Statement]) -> list[str]:
    """Sentences with statements that the rules have no words for."""
    kept = []
    for start, end in sentences(text):
        inside = [each for each in stated if start <= each.start and each.end <= end]
        if any(_is_unwritable(statement) for statement in inside):
            kept.append(text[start:end])
    return kept


def _is_unwritable(statement: Statement) -> bool:
    if statement.finding == "no finding" or statement.implied:
        return False
    topic = topic_of(statement)
    match statement.presence:
        case "present":
            return topic not in KIND_OF
        case "absent":
            known = (*OTHER_DENIALS, "enlarged cardiomediastinum")
            return topic not in KIND_OF and topic.finding not in known
        case _:
            return True


def _reads_alike(before: Sequence[Statement], after: Sequence[Statement]) -> bool:
    """True if both have the same findings, denials, sides, zones and degrees."""
    return not (
        changes_between(before, after)
        or lost_topics(before, after)
        or any(_is_new(statement, before) for statement in after)
    )


def _is_new(statement: Statement, before: Sequence[Statement]) -> bool:
    """True if a finding is explicitly stated or denied that was not before."""
    return not statement.implied and not any(
        other.presence == statement.presence and topic_of(other) == topic_of(statement)
        for other in before
    )
