"""A phantom's report: the findings present, some denials, and remarks on the build.

A small grammar over `phrases.py`. Every finding is stated in the findings section with its side
and zone; an unstated severity means moderate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pairaug.phantom import phrases
from pairaug.phantom.anatomy import Anatomy
from pairaug.phantom.findings import KINDS, Finding
from pairaug.phantom.phrases import fill, pick

MIN_FINDINGS_WORDS, MAX_FINDINGS_WORDS = 12, 38
MAX_IMPRESSION_WORDS = 12

# Orders in which radiologists read an image; a report follows one of them.
TOPICS: tuple[tuple[str, ...], ...] = (
    ("devices", "lungs", "pleura", "heart", "build", "bones"),
    ("heart", "build", "lungs", "pleura", "bones", "devices"),
    ("lungs", "pleura", "heart", "build", "bones", "devices"),
    ("devices", "heart", "lungs", "pleura", "build", "bones"),
    ("pleura", "lungs", "heart", "devices", "build", "bones"),
)
TOPIC_OF = {
    "cardiomegaly": "heart",
    "mediastinum": "heart",
    "pleural effusion": "pleura",
    "pneumothorax": "pleura",
    "pacemaker": "devices",
    "central line": "devices",
    "endotracheal tube": "devices",
    "heart": "heart",
    "bones": "bones",
    "scoliosis": "bones",
    "tortuous": "heart",
}
URGENCY = (
    "pneumothorax",
    "pleural effusion",
    "consolidation",
    "edema",
    "mass",
    "cardiomegaly",
    "nodule",
    "atelectasis",
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase without its article, and its number and countability."""

    text: str
    is_plural: bool = False
    is_countable: bool = True

    @property
    def with_article(self) -> str:
        if self.is_plural or not self.is_countable:
            return self.text
        return f"{'an' if self.text[0] in 'aeiou' else 'a'} {self.text}"


def describe(
    anatomy: Anatomy, findings: Sequence[Finding], rng: np.random.Generator
) -> tuple[str, str]:
    """(findings section, impression) of a report on `findings` in a patient of build `anatomy`.

    The findings section has 12 to 38 words, the impression 2 to 12. All of `findings` is stated
    in the findings section, and no finding that is present is denied.
    """
    groups = _group(findings)
    topics = phrases_order(rng)
    said = next(
        sentences
        for level in range(3)
        if _num_words(sentences := _positives(groups, rng, level)) <= MAX_FINDINGS_WORDS
    )
    build = _build(anatomy)
    for name in build:
        remark = pick(phrases.BUILD[name], rng).format(side=_convex_side(anatomy))
        if rng.random() < 0.85 and _num_words([*said, ("", remark)]) <= MAX_FINDINGS_WORDS:
            said.append((TOPIC_OF.get(name, "build"), remark))
    said = _with_normals(said, findings, build, rng)
    order = {topic: index for index, topic in enumerate(topics)}
    said.sort(key=lambda sentence: order[sentence[0]])
    text = " ".join(_capitalize(sentence) for _, sentence in said)
    return text, _impression(groups, bool(build), rng)


def phrases_order(rng: np.random.Generator) -> tuple[str, ...]:
    """The order of topics in one report: one of `TOPICS`, sometimes shuffled."""
    topics = TOPICS[int(rng.integers(len(TOPICS)))]
    if rng.random() < 0.15:
        return tuple(str(topic) for topic in rng.permutation(topics))
    return topics


def _group(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings grouped by kind; kinds in their fixed order."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: list(KINDS).index(finding.kind)):
        by_kind.setdefault(finding.kind, []).append(finding)
    return list(by_kind.values())


def _positives(
    groups: list[list[Finding]], rng: np.random.Generator, level: int
) -> list[tuple[str, str]]:
    """(topic, sentence) for every group; each `level` above 0 uses fewer words."""
    if level == 2:
        parts = [_phrase(group, rng, short=True, severity=None).text for group in groups]
        return [("lungs", _capitalize(", ".join(parts)) + ".")]
    said: list[tuple[str, str]] = []
    is_terse = level > 0 or rng.random() < 0.35
    pending: tuple[str, Phrase] | None = None
    for group in groups:
        topic = TOPIC_OF.get(group[0].kind, "lungs")
        options = phrases.SENTENCES.get(group[0].kind, ())
        severity = rng.random() >= 0.15
        # Seldom for a kind with one such sentence, usually for a kind with several.
        chance = 0.15 * min(len(options), 4)
        if level == 0 and len(group) == 1 and rng.random() < chance:
            said.append((topic, _sentence(pick(options, rng), group[0], rng)))
            continue
        phrase = _phrase(group, rng, short=level > 0, severity=severity or None)
        if pending and pending[0] == topic and level == 0 and rng.random() < 0.4:
            said.append((topic, _join(pending[1], phrase, rng)))
            pending = None
            continue
        if pending:
            said.append((pending[0], _stated(pending[1], is_terse, rng)))
        pending = (topic, phrase)
    if pending:
        said.append((pending[0], _stated(pending[1], is_terse, rng)))
    return said


def _phrase(
    group: Sequence[Finding], rng: np.random.Generator, short: bool, severity: bool | None
) -> Phrase:
    """The noun phrase for one finding, or for one on each side.

    `severity`: True states it, False leaves it out, None leaves out only "moderate".
    """
    first, is_countable = group[0], group[0].kind not in phrases.UNCOUNTABLE
    if len({finding.severity for finding in group}) > 1:
        # A severity stated for one side only would be read as that of both sides.
        severity = severity is not False
    if len({(finding.zone, finding.severity) for finding in group}) > 1:
        return Phrase(_each_side(group, rng, short, severity), is_countable, is_countable)
    options = (phrases.NOUN_PHRASES if len(group) == 1 else phrases.BILATERAL)[first.kind]
    template = options[0] if short else pick(options, rng)
    text = fill(template, first, rng, _states(severity, first), short)
    return Phrase(text, is_countable and len(group) > 1, is_countable)


def _states(severity: bool | None, finding: Finding) -> bool:
    return finding.severity != "moderate" if severity is None else severity


def _each_side(
    group: Sequence[Finding], rng: np.random.Generator, short: bool, severity: bool | None
) -> str:
    """Both sides with a severity each, as in "small left and large right pleural effusions"."""
    words = [
        fill("{sev} {side} {zone} of", finding, rng, _states(severity, finding), short)
        for finding in group
    ]
    one, other = (words[index].removesuffix(" of") for index in rng.permutation(2))
    noun = phrases.PLURALS.get(group[0].kind, group[0].kind)
    return f"{one} and {other} {noun}"


def _sentence(template: str, finding: Finding, rng: np.random.Generator) -> str:
    return _capitalize(fill(template, finding, rng))


def _stated(phrase: Phrase, is_terse: bool, rng: np.random.Generator) -> str:
    if is_terse:
        return _capitalize(phrase.text) + "."
    frame = pick(phrases.THERE_ARE if phrase.is_plural else phrases.THERE_IS, rng)
    return _capitalize(frame.format(np=phrase.with_article))


def _join(one: Phrase, other: Phrase, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return _capitalize(f"{one.text} and {other.text}.")
    verb = "are" if one.is_plural else "is"
    return f"There {verb} {one.with_article} and {other.with_article}."


def _with_normals(
    said: list[tuple[str, str]],
    findings: Sequence[Finding],
    build: Sequence[str],
    rng: np.random.Generator,
) -> list[tuple[str, str]]:
    """`said` with statements of normality and denials, up to a sampled length."""
    target = int(rng.integers(MIN_FINDINGS_WORDS + 2, MAX_FINDINGS_WORDS - 5))
    present = {finding.kind for finding in findings} | set(build)
    candidates = _denials(findings, rng)
    for region, excluded, options in phrases.NORMAL:
        if not excluded & present:
            topic = TOPIC_OF.get(region, "lungs")
            candidates.append((topic, pick(options, rng)))
    said = list(said)
    for index in rng.permutation(len(candidates)):
        num_words = _num_words(said)
        if num_words >= target:
            break
        if num_words + _num_words([candidates[index]]) <= MAX_FINDINGS_WORDS:
            said.append(candidates[index])
    return said


def _denials(findings: Sequence[Finding], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Absent kinds denied, one to three at a time, as in "No pneumothorax or effusion."."""
    present = {finding.kind for finding in findings}
    # Both are lung lesions: a report that states one does not deny the other.
    present |= {"nodule", "mass"} if present & {"nodule", "mass"} else set()
    absent = [kind for kind in phrases.DENIED if kind not in present]
    absent = [absent[index] for index in rng.permutation(len(absent))]
    said: list[tuple[str, str]] = []
    while absent:
        num = int(rng.integers(1, 4))
        kinds, absent = absent[:num], absent[num:]
        items = [pick(phrases.DENIED[kind], rng) for kind in kinds]
        topics = {TOPIC_OF.get(kind, "lungs") for kind in kinds}
        topic = "pleura" if topics == {"pleura"} else "lungs"
        said.append((topic, _deny(items, rng)))
    one_sided = [finding for finding in findings if KINDS[finding.kind].has_side]
    for finding in one_sided:
        others = [other for other in one_sided if other.kind == finding.kind]
        is_pleural = finding.kind in ("pneumothorax", "pleural effusion")
        if is_pleural and len(others) == 1 and rng.random() < 0.4:
            side = "right" if finding.side == "left" else "left"
            said.append(("pleura", f"No {side} {finding.kind}."))
    return said


def _deny(items: Sequence[str], rng: np.random.Generator) -> str:
    frame = pick(phrases.DENIALS, rng)
    if any(item.endswith("s") and item != "atelectasis" for item in items[-1:]):
        frame = frame.replace(" is seen", "")
    comma = ", or " if len(items) > 2 and rng.random() < 0.5 else " or "
    listed = ", ".join(items[:-1]) + comma + items[-1] if len(items) > 1 else items[0]
    return frame.format(items=listed)


def _build(anatomy: Anatomy) -> list[str]:
    """Remarkable features of the build: keys of `phrases.BUILD`."""
    tests = {
        "tortuous": anatomy.aorta > 0.75,
        "low volumes": anatomy.lung_volume < 0.2,
        "hyperinflated": anatomy.lung_volume > 0.85,
        "scoliosis": abs(anatomy.scoliosis) > 0.6,
    }
    return [name for name, is_so in tests.items() if is_so]


def _convex_side(anatomy: Anatomy) -> str:
    return "left" if anatomy.scoliosis > 0 else "right"


def _impression(
    groups: list[list[Finding]], has_remarkable_build: bool, rng: np.random.Generator
) -> str:
    """The findings in few words, urgent ones first; a statement of normality without findings."""
    by_kind = {group[0].kind: group for group in groups}
    listed = [by_kind[kind] for kind in URGENCY if kind in by_kind]
    devices = [group for kind, group in by_kind.items() if KINDS[kind].is_device]
    if not listed:
        options = phrases.IMPRESSION_NORMAL
        if not has_remarkable_build and not devices:
            options += phrases.IMPRESSION_UNREMARKABLE
        normal = pick(options, rng)
        if not devices or rng.random() < 0.4:
            return normal
        device = _phrase(devices[0], rng, short=True, severity=True).text
        return _capitalize(f"{device} in place. {normal}")
    parts: list[str] = []
    for group in listed:
        part = _impression_part(group, rng)
        if _num_words([("", " ".join([*parts, part]))]) <= MAX_IMPRESSION_WORDS - 1:
            parts.append(part)
    return _impression_sentences(parts, rng)


def _impression_part(group: Sequence[Finding], rng: np.random.Generator) -> str:
    severities = {finding.severity for finding in group}
    if len(severities) == 2 and group[0].kind == "pleural effusion" and rng.random() < 0.5:
        order = ("mild", "moderate", "severe")
        larger = max(group, key=lambda finding: order.index(finding.severity or "mild"))
        return f"bilateral pleural effusions, larger on the {larger.side}"
    # One word is too short for an impression: a finding without a side has its severity.
    severity = not KINDS[group[0].kind].has_side or rng.random() < 0.7
    return _phrase(group, rng, short=True, severity=severity).text


def _impression_sentences(parts: Sequence[str], rng: np.random.Generator) -> str:
    has_comma = any("," in part for part in parts)
    if len(parts) == 1 or has_comma or rng.random() < 0.45:
        return " ".join(_capitalize(part) + "." for part in parts)
    listed = ", ".join(parts[:-1]) + (", and " if len(parts) > 2 else " and ") + parts[-1]
    return _capitalize(listed) + "."


def _num_words(sentences: Iterable[tuple[str, str]]) -> int:
    return sum(len(text.split()) for _, text in sentences)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
