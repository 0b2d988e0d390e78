"""Changes one finding in a report, and keeps every other sentence.

Each function takes the report's sentences and returns the new sentences, or None if it has no words
for the change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pairaug.findings import Side, Statement, extract
from pairaug.rewrite.rules.grading import SEVERITY_WORD
from pairaug.rewrite.rules.heart import enlarged_heart, normal_heart
from pairaug.rewrite.rules.kinds import KIND_OF, OTHER_DENIALS, Described
from pairaug.rewrite.rules.remarks import leans_back, without_otherwise
from pairaug.rewrite.rules.structure import Listed, parse
from pairaug.rewrite.rules.wording import (
    NORMAL_HEART,
    NORMAL_LUNGS,
    NORMAL_MEDIASTINUM,
    denial,
    tidy,
)
from pairaug.rewrite.topics import ACUTE, AIRSPACE, Topic, topic_of

_PLAIN_PHRASE = re.compile(
    r"(?:(?:left|right|bilateral|bibasilar|basilar|upper|mid|lower|lobe|lung|zone|sided|pleural|"
    r"pulmonary|interstitial|focal|airspace|effusions?|pneumothorax|pneumothoraces|edema|"
    r"consolidations?|atelectasis|pneumonia|opacity|opacities|infiltrates?|in|at|the|base)\b[\s\-]*)+",
    re.IGNORECASE,
)
_IN_LUNGS = ("edema", "atelectasis", "lung lesion", *AIRSPACE)
_ARTICLE = re.compile(r"^(?:an?|the|some)\s+", re.IGNORECASE)
_CLEAR = re.compile(
    r"^(?:(?:the |both )?lungs?(?: fields)?(?: are| is)? (?:clear)(?: bilaterally)?|clear lungs"
    r"(?: bilaterally)?|the lung fields are clear)\.$",
    re.IGNORECASE,
)
_ONE_CLEAR = re.compile(r"^the (?:left|right) lung (?:is|remains) clear\.$", re.IGNORECASE)


def _is_about(statement: Statement, topic: Topic) -> bool:
    """True for a statement on `topic`, a denial of all kinds of lesion or device included."""
    own = topic_of(statement)
    return own == topic or (statement.presence == "absent" and own == Topic(topic.finding))


def resolve(sentences: Sequence[str], topic: Topic) -> list[str] | None:
    """The report with `topic` resolved: denied where it was stated, or left out for a device."""
    is_device = topic.finding == "support devices"
    kept: list[str] = []
    index: int | None = None  # position of the denial
    phrase = ""
    has_gone = False  # the next sentence may refer to it
    for sentence in sentences:
        own = [s for s in extract(sentence) if s.presence != "absent" and topic_of(s) == topic]
        is_remark = has_gone and leans_back(sentence)
        has_gone = bool(own) or is_remark
        if is_remark and not own:
            kept += restate([s for s in extract(sentence) if not s.implied], sentence)
            continue
        if not own:
            kept.append(sentence)
            continue
        heart = normal_heart(sentence) if topic.finding == "cardiomegaly" else None
        if heart is not None:
            kept.append(heart)
            index, phrase = -1, heart  # already in the text
            continue
        rest, gone = _without(sentence, topic)
        kept += rest
        if index is None or (not rest and index >= 0 and not phrase):
            index, phrase = len(kept), gone
    kept = without_otherwise(kept)
    if is_device:
        return kept
    if index is None:
        return None
    if index >= 0:
        gone = _gone(topic, phrase, extract(" ".join(kept)))
        if gone == NORMAL_LUNGS[0] and any(_CLEAR.match(sentence) for sentence in kept):
            gone = ""  # already stated
        kept.insert(index, gone)
        if gone == NORMAL_LUNGS[0]:
            # It includes "the left lung is clear".
            kept = [s for s in kept if s == gone or not _ONE_CLEAR.match(s)]
    return _once(kept)


def _gone(topic: Topic, phrase: str, others: Sequence[Statement]) -> str:
    """The sentence that denies `topic`; empty if another sentence already does.

    It keeps the plain words that stated the finding. Shadows without a plain name become "the lungs
    are clear" if there is no other finding in them.
    """
    if topic.finding == "cardiomegaly":
        return NORMAL_HEART[1]
    if topic.finding == "enlarged cardiomediastinum":
        return NORMAL_MEDIASTINUM[0]
    if topic == Topic("consolidation") and not phrase:
        lungs = [s for s in others if s.finding in _IN_LUNGS and s.presence != "absent"]
        phrase = "focal opacity"
        if not lungs:
            return NORMAL_LUNGS[0]
    if any(s.presence == "absent" and s.side is None and _is_about(s, topic) for s in others):
        return ""
    if phrase:
        return denial([phrase])
    kind = KIND_OF.get(topic)
    return denial([kind.denied_as[0] if kind else OTHER_DENIALS.get(topic.finding, topic.finding)])


def _without(sentence: str, topic: Topic) -> tuple[list[str], str]:
    """The rest of a sentence without `topic`, as sentences, and the plain words that stated it."""
    listed = parse(sentence)
    if listed is None or listed.is_denial:
        others = [
            s for s in extract(sentence) if s.finding != "no finding" and not _is_about(s, topic)
        ]
        return restate(others, sentence), ""
    left = [item for item in listed.items if not _any_about(item.statements, topic)]
    mixed = [
        s
        for item in listed.items
        if _any_about(item.statements, topic)
        for s in item.statements
        if not _is_about(s, topic)
    ]
    gone = next(item.text for item in listed.items if _any_about(item.statements, topic))
    rest = [listed.with_items(left).text()] if left else []
    return rest + restate(mixed, sentence), _plain(gone)


def _any_about(statements: Sequence[Statement], topic: Topic) -> bool:
    return any(_is_about(statement, topic) for statement in statements)


def _plain(phrase: str) -> str:
    """A noun phrase without article and degree if it is short and plain, else empty."""
    words = SEVERITY_WORD.sub("", _ARTICLE.sub("", phrase))
    words = " ".join(_ARTICLE.sub("", words.strip()).split())
    words = re.sub(r"\blayering\b|\bfocal\b", "", words).strip()
    words = " ".join(words.split())
    if not _PLAIN_PHRASE.fullmatch(words) or len(words.split()) > 6:
        return ""
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]


def restate(statements: Sequence[Statement], source: str) -> list[str]:
    """Plain sentences with the `statements` that were read from `source`."""
    said: list[str] = []
    denied: list[str] = []
    for statement in statements:
        words = _words_of(statement, source)
        if statement.finding == "cardiomegaly" and statement.presence == "absent":
            said.append(NORMAL_HEART[1])
        elif statement.finding == "enlarged cardiomediastinum" and statement.presence == "absent":
            said.append(NORMAL_MEDIASTINUM[0])
        elif statement.finding == "no finding" or (
            statement.implied and statement.presence == "absent"
        ):
            continue
        elif statement.presence == "absent":
            denied.append(words)
        elif statement.presence == "present":
            said.append(tidy(f"{words}."))
        else:
            said.append(tidy(f"Possible {words}."))
    if denied:
        said.append(denial(list(dict.fromkeys(denied))))
    return list(dict.fromkeys(said))


_ZONE_NAMES = {"upper": "upper lobe", "middle": "mid lung", "lower": "lower lobe"}


def _words_of(statement: Statement, source: str) -> str:
    """A noun phrase for a statement: its noun, with the side, zone and degree that were read."""
    kind = KIND_OF.get(topic_of(statement))
    noun = source[statement.start : statement.end]
    if kind is not None and statement.finding == kind.topic.finding:
        noun = kind.plural if statement.side == "bilateral" else kind.noun
    if noun[:1].isupper() and not noun[1:2].isupper():
        noun = noun.lower()
    if statement.presence == "absent":
        return " ".join(filter(None, (statement.side, noun)))
    degree = ""
    if statement.severity:
        words = kind.severity_words if kind else {}
        degree = words.get(statement.severity, (statement.severity,))[0]
    zone = _ZONE_NAMES[statement.zone] if statement.zone else None
    return " ".join(filter(None, (degree, statement.side, zone, noun)))


def appear(
    sentences: Sequence[str], finding: Described, words: str, phrase: str
) -> list[str] | None:
    """The report with `finding` added as the sentence `words`, and no longer denied.

    `phrase` is the noun phrase alone; it replaces "no acute disease". The sentence replaces the
    first denial of the finding, or else is appended.
    """
    topic = finding.kind.topic
    kept: list[str] = []
    is_said = False
    for sentence in sentences:
        statements = extract(sentence)
        if _denies_all(statements, topic):
            rest = restate([s for s in statements if not _is_about(s, topic)], sentence)
            kept += rest if rest else []
            if not is_said and not kept:
                kept.append(tidy(f"{phrase}."))
                is_said = True
            continue
        own = [s for s in statements if _denies(s, finding)]
        if not own:
            kept.append(sentence)
            continue
        new = _undenied(sentence, finding, [s for s in statements if s not in own])
        if topic.finding == "cardiomegaly" and finding.severity:
            enlarged = enlarged_heart(sentence, finding.severity)
            new, is_said = ([enlarged], True) if enlarged else (new, is_said)
        kept += new
        if not is_said:
            kept.append(words)
            is_said = True
    if not is_said:
        kept.append(words)
    return _once(kept)


def _denies_all(statements: Sequence[Statement], topic: Topic) -> bool:
    """True for "no acute disease" with an acute finding, and for "normal chest" with any finding.

    A device contradicts neither.
    """
    return topic.finding != "support devices" and any(
        s.finding == "no finding" and (s.detail is None or topic.finding in ACUTE)
        for s in statements
    )


def _denies(statement: Statement, finding: Described) -> bool:
    topic = finding.kind.topic
    if statement.presence != "absent" or not _is_about(statement, topic):
        return False
    if topic.finding == "consolidation" and statement.finding not in AIRSPACE:
        return False
    sides = (statement.side, finding.side)
    return None in sides or "bilateral" in sides or sides[0] == sides[1]


def _undenied(sentence: str, finding: Described, others: Sequence[Statement]) -> list[str]:
    """The rest of a sentence that denied `finding`, as sentences."""
    if _CLEAR.match(sentence):
        other: dict[Side | None, str] = {"left": "right", "right": "left"}
        side = other.get(finding.side)
        return [f"The {side} lung is clear."] if side else []
    listed: Listed | None = parse(sentence)
    if listed and listed.is_denial:
        left = [
            item
            for item in listed.items
            if not any(_denies(statement, finding) for statement in item.statements)
        ]
        return [listed.with_items(left).text()] if left else []
    return restate(others, sentence)


def _once(sentences: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(sentence for sentence in sentences if sentence))
