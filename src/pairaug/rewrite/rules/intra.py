"""A plausible change in one patient: findings that resolve, appear, worsen or improve.

The unchanged parts keep their words and order, so that the report's tokens stay aligned with those
of the original.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal, NamedTuple

from pairaug.findings import Severity, Statement, extract, sentences
from pairaug.rewrite.cleaning import shorten_both
from pairaug.rewrite.rules.edits import appear, resolve
from pairaug.rewrite.rules.grading import grade
from pairaug.rewrite.rules.kinds import KIND_OF, KINDS, MILD_TO_SEVERE, Kind, excludes, sample
from pairaug.rewrite.rules.kinds import Described as Finding
from pairaug.rewrite.rules.wording import noun_phrase, sentence
from pairaug.rewrite.topics import Topic, topic_of

Act = Literal["resolve", "appear", "worsen", "improve"]
# Weights of the acts that a report allows.
_ACT_WEIGHTS: dict[Act, float] = {"resolve": 1.0, "appear": 1.0, "worsen": 0.8, "improve": 0.8}
_SECOND_CHANGE = 0.2
# Weights with which other findings resolve, or devices are removed.
_OTHERS_RESOLVE = {"chest tube": 1.0, "enteric tube": 1.0, "circulatory support": 0.3}
# A heart does not grow from normal to severely enlarged between two images.
_APPEARS_AS: dict[str, tuple[Severity, ...]] = {"cardiomegaly": ("mild", "moderate")}
# Permanent and transient shadows are both called opacities, and cannot be told apart.
_SHADOWS = (Topic("consolidation"), Topic("atelectasis"))
_LASTING = re.compile(r"\b(?:calcif|granuloma|scar|fibro|cicatri|healed)", re.IGNORECASE)


class Option(NamedTuple):
    """One change that a report allows, with its weight among the changes of its act."""

    act: Act
    topic: Topic
    weight: float
    severity: Severity | None = None


class Changed(NamedTuple):
    """A report before and after a change, both without the sentences removed to make room."""

    before: str
    after: str


def change_report(
    report: str, rng: Random, max_words: int, target: str | None = None
) -> Changed | None:
    """`report` after one change in the patient, sometimes two; None if no change is possible.

    The first change is to the finding `target`, if given. If the changed report is too long,
    unchanged sentences are removed from both versions.
    """
    num_changes = 2 if rng.random() < _SECOND_CHANGE else 1
    text = report
    touched: set[Topic] = set()
    for _ in range(num_changes):
        changed = _change_once(text, rng, touched, None if touched else target)
        if changed is None:
            break
        text = changed
    return Changed(*shorten_both(report, text, max_words)) if touched else None


def _change_once(
    text: str, rng: Random, touched: set[Topic], target: str | None = None
) -> str | None:
    """`text` after one change of a topic that is not yet in `touched`, which is then added."""
    stated = extract(text)
    parts = [text[start:end] for start, end in sentences(text)]
    lasting = _lasting(parts)
    options = [
        option
        for option in _options(stated)
        if option.topic not in touched and target in (None, option.topic.finding)
        and (option.act == "appear" or option.topic not in lasting)
    ]  # fmt: skip
    while options:
        acts: list[Act] = [
            act for act in _ACT_WEIGHTS if any(option.act == act for option in options)
        ]
        act = rng.choices(acts, [_ACT_WEIGHTS[act] for act in acts])[0]
        own = [option for option in options if option.act == act]
        option = rng.choices(own, [option.weight for option in own])[0]
        changed = _apply(parts, option, stated, rng)
        if changed and changed != parts:
            touched.add(option.topic)
            return " ".join(changed)
        options.remove(option)
    return None


def _lasting(parts: Sequence[str]) -> set[Topic]:
    """Shadows described as calcified or as a scar: they neither resolve nor grow."""
    return {
        topic_of(statement)
        for part in parts
        if _LASTING.search(part)
        for statement in extract(part)
        if topic_of(statement) in _SHADOWS
    }


def _options(stated: Sequence[Statement]) -> list[Option]:
    """All changes that the report allows."""
    present = _by_topic(stated)
    options: list[Option] = []
    for topic, own in present.items():
        kind = KIND_OF.get(topic)
        weight = kind.resolves if kind else _OTHERS_RESOLVE.get(topic.detail or topic.finding, 0.0)
        if weight:
            options.append(Option("resolve", topic, weight))
        options += _gradings(topic, own, kind)
    uncertain = {topic_of(s) for s in stated if s.presence == "uncertain"}
    for kind in KINDS.values():
        if kind.topic not in present and kind.topic not in uncertain:
            options.append(Option("appear", kind.topic, kind.appears))
    return options


def _by_topic(stated: Sequence[Statement]) -> dict[Topic, list[Statement]]:
    present: dict[Topic, list[Statement]] = {}
    for statement in stated:
        if statement.presence == "present" and statement.finding != "no finding":
            present.setdefault(topic_of(statement), []).append(statement)
    return present


def _gradings(topic: Topic, own: Sequence[Statement], kind: Kind | None) -> list[Option]:
    """Steps up and down for a finding that is graded once, or not at all (which means moderate)."""
    severities = {statement.severity for statement in own if statement.severity}
    if kind is None or not kind.severities or len(severities) > 1:
        return []
    current = severities.pop() if severities else "moderate"
    if current not in kind.severities:
        return []
    return [
        Option(
            "worsen" if _rank(severity) > _rank(current) else "improve",
            topic,
            1.0 if abs(_rank(severity) - _rank(current)) == 1 else 0.5,
            severity,
        )
        for severity in kind.severities
        if severity != current
    ]


def _rank(severity: Severity) -> int:
    return MILD_TO_SEVERE.index(severity)


def _apply(
    parts: list[str], option: Option, stated: Sequence[Statement], rng: Random
) -> list[str] | None:
    match option.act:
        case "resolve":
            return resolve(parts, option.topic)
        case "appear":
            finding = _sample(option.topic, stated, rng)
            if finding is None:
                return None
            phrase = noun_phrase(finding, rng, short=True)
            return appear(parts, finding, sentence(finding, rng), phrase)
        case _:
            assert option.severity is not None
            return grade(parts, option.topic, option.severity)


def _sample(topic: Topic, stated: Sequence[Statement], rng: Random) -> Finding | None:
    """A new finding compatible with the stated ones; None after a few attempts."""
    kind = KIND_OF[topic]
    present = [
        Finding(KIND_OF[own], statement.side)
        for own, statements in _by_topic(stated).items()
        if own in KIND_OF
        for statement in statements
    ]
    for _ in range(8):
        finding = sample(kind, rng)
        if kind.noun in _APPEARS_AS:
            finding = replace(finding, severity=rng.choice(_APPEARS_AS[kind.noun]))
        if not any(excludes(finding, other) for other in present):
            return finding
    return None
