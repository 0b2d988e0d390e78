"""Another plausible patient: some of a report's findings reversed, and others added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pairaug.findings import Side, Statement
from pairaug.pair import Report
from pairaug.rewrite.rules import wording
from pairaug.rewrite.rules.kinds import (
    KIND_OF,
    KINDS,
    OTHER_DENIALS,
    Described,
    excludes,
    sample,
    sample_kind,
)
from pairaug.rewrite.rules.wording import denial, noun_phrase, sentence
from pairaug.rewrite.topics import AIRSPACE, Topic, topic_of

# Numbers of findings of a new patient, devices aside, with weights: a quarter has none or one, so
# that the new patients are not mostly normal.
_NUM_FINDINGS = (0, 1, 2, 3)
_NUM_WEIGHTS = (0.1, 0.3, 0.4, 0.2)
_KEPT_FRACTION = 0.35
_DEVICE_FRACTION = 0.35
_MIN_WORDS, _IMPRESSION_WORDS = 12, 12


@dataclass(frozen=True, slots=True)
class Patient:
    """A new patient: findings, and denied topics."""

    findings: tuple[Described, ...]
    denied: tuple[Topic, ...]


def other_patient(
    stated: Sequence[Statement], rng: Random, target: str | None = None
) -> Patient | None:
    """A patient with at least one finding of `stated` reversed.

    The patient has the finding `target`, if given. None if nothing can be reversed: reports with
    only devices, scars or granulomas.
    """
    present = _topics(stated, "present") | _topics(stated, "uncertain")
    absent = _topics(stated, "absent") - present
    reversed_present, reversed_absent = _reversals(present, absent, rng)
    was_normal = any(statement.finding == "no finding" for statement in stated)
    if not reversed_present and not reversed_absent and not was_normal:
        return None
    findings: list[Described] = []
    if target:
        wanted = [kind for kind in KINDS.values() if kind.topic.finding == target]
        _add(findings, sample(sample_kind(wanted, [kind.plausible for kind in wanted], rng), rng))
    for topic in reversed_absent:
        _add(findings, sample(KIND_OF[topic], rng))
    for statement in stated:
        kind = KIND_OF.get(topic_of(statement))
        is_kept = topic_of(statement) not in reversed_present and rng.random() < _KEPT_FRACTION
        if kind and statement.presence == "present" and is_kept:
            side: Side | None = None
            if kind.is_sided and rng.random() < 0.5:
                side = statement.side
            _add(findings, sample(kind, rng, side))
    min_findings = 0 if reversed_present or reversed_absent else 1
    _fill(findings, {*absent, *reversed_present}, min_findings, rng)
    held = {finding.kind.topic for finding in findings}
    denied = [topic for topic in (*reversed_present, *sorted(absent, key=str)) if topic not in held]
    return Patient(tuple(findings), tuple(dict.fromkeys(denied)))


def _topics(stated: Sequence[Statement], presence: str) -> set[Topic]:
    """Topics with one presence that can be reversed, in the report's terms."""
    found: set[Topic] = set()
    for statement in stated:
        if statement.presence != presence or statement.finding == "no finding":
            continue
        topic = topic_of(statement)
        found.add(topic)
    return found


def _reversals(
    present: set[Topic], absent: set[Topic], rng: Random
) -> tuple[list[Topic], list[Topic]]:
    """The stated findings to deny and the denied ones to state; at least one in total."""
    deniable = sorted((topic for topic in present if _is_deniable(topic)), key=str)
    statable = sorted((topic for topic in absent if topic in KIND_OF), key=str)
    if any(topic == Topic("lung lesion") for topic in absent):
        statable += [topic for topic in KIND_OF if topic.finding == "lung lesion"]
    denied: list[Topic] = []
    if deniable:
        num = rng.randint(1, max(1, (len(deniable) + 1) // 2 + (len(deniable) > 2)))
        denied = rng.sample(deniable, min(num, len(deniable)))
    stated: list[Topic] = []
    if statable and (not denied or rng.random() < 0.6):
        num = 1 if denied or rng.random() < 0.5 else min(2, len(statable))
        stated = rng.sample(statable, num)
    return denied, stated


def _is_deniable(topic: Topic) -> bool:
    if topic.finding == "support devices":
        return False  # reports do not deny devices
    if topic.detail is not None:
        return topic in KIND_OF  # nodule and mass; not a scar, a cavity or a granuloma
    return topic in KIND_OF or topic.finding in (*OTHER_DENIALS, "enlarged cardiomediastinum")


def _add(findings: list[Described], finding: Described) -> bool:
    if any(excludes(finding, other) for other in findings):
        return False
    findings.append(finding)
    return True


def _fill(findings: list[Described], mentioned: set[Topic], min_findings: int, rng: Random) -> None:
    """Add findings that the report does not mention, up to a sampled number, and maybe a device."""
    target = max(min_findings, rng.choices(_NUM_FINDINGS, _NUM_WEIGHTS)[0])
    kinds = [k for k in KINDS.values() if not k.is_device and k.topic not in mentioned]
    while kinds and sum(not finding.kind.is_device for finding in findings) < target:
        kind = sample_kind(kinds, [k.plausible for k in kinds], rng)
        kinds.remove(kind)
        _add(findings, sample(kind, rng))
    if rng.random() < _DEVICE_FRACTION:
        devices = [k for k in KINDS.values() if k.is_device]
        _add(findings, sample(sample_kind(devices, [k.plausible for k in devices], rng), rng))


def written(patient: Patient, rng: Random, max_words: int, *, adds_normals: bool = True) -> Report:
    """The patient's report: an impression, then findings with denials and normal statements.

    `adds_normals`: state that further regions are normal, as the report of a new patient may.
    """
    findings = list(patient.findings)
    rng.shuffle(findings)
    impression = _impression([f for f in findings if not f.kind.is_device], patient, rng)
    room = max_words - len(impression.split())
    said = [_PatientStatements(_region(finding), sentence(finding, rng)) for finding in findings]
    said += [_PatientStatements(*remark) for remark in _denials(patient, rng)]
    while _num_words(said) > room and len(said) > 1:
        del said[-1]
    for remark in _normals(patient, rng) if adds_normals else ():
        if _num_words(said) >= max(_MIN_WORDS, rng.randint(14, 30)):
            break
        if _num_words(said) + len(remark[1].split()) <= room:
            said.append(_PatientStatements(*remark))
    order: list[str] = list(_REGIONS)
    if rng.random() < 0.4:
        order = [*order[1:], order[0]]
    said.sort(key=lambda remark: order.index(remark.region))
    return Report(findings=" ".join(remark.text for remark in said), impression=impression)


@dataclass(frozen=True, slots=True)
class _PatientStatements:
    region: str
    text: str


_REGIONS = ("devices", "heart", "lungs", "pleura", "bones")


def _region(finding: Described) -> str:
    return _region_of(finding.kind.topic)


def _region_of(topic: Topic) -> str:
    match topic.finding:
        case "support devices":
            return "devices"
        case "cardiomegaly" | "enlarged cardiomediastinum":
            return "heart"
        case "pleural effusion" | "pneumothorax" | "pleural other":
            return "pleura"
        case "fracture":
            return "bones"
        case _:
            return "lungs"


def _num_words(said: Sequence[_PatientStatements]) -> int:
    return sum(len(remark.text.split()) for remark in said)


def _impression(findings: Sequence[Described], patient: Patient, rng: Random) -> str:
    """The findings in a few words; a normal statement without findings."""
    if not findings:
        return rng.choice(wording.ALL_NORMAL)
    phrases: list[str] = []
    for finding in findings:
        phrase = noun_phrase(finding, rng, short=True)
        if len(" ".join([*phrases, phrase]).split()) < _IMPRESSION_WORDS:
            phrases.append(phrase)
    if rng.random() < 0.5:
        return " ".join(wording.tidy(f"{phrase}.") for phrase in phrases)
    return wording.tidy(wording.listing(phrases, "and", has_last_comma=True) + ".")


def _denials(patient: Patient, rng: Random) -> list[tuple[str, str]]:
    """(region, sentence) for denied findings: the reversed ones before others."""
    items: list[str] = []
    said: list[tuple[str, str]] = []
    for topic in patient.denied:
        if topic.finding == "cardiomegaly":
            said.append(("heart", rng.choice(wording.NORMAL_HEART)))
        elif topic.finding == "enlarged cardiomediastinum":
            said.append(("heart", rng.choice(wording.NORMAL_MEDIASTINUM)))
        elif topic.finding == "fracture":
            said.append(("bones", rng.choice(wording.NORMAL_BONES)))
        elif topic in KIND_OF and KIND_OF[topic].denied_as:
            items.append(rng.choice(KIND_OF[topic].denied_as))
        elif topic.finding in OTHER_DENIALS and not _is_held(topic, patient):
            items.append(OTHER_DENIALS[topic.finding])
    items = list(dict.fromkeys(items))
    while items:
        num = rng.randint(1, 3)
        group, items = items[:num], items[num:]
        is_pleural = all(item in ("pneumothorax", "pleural effusion") for item in group)
        said.insert(0, ("pleura" if is_pleural else "lungs", denial(group, rng)))
    return said[::-1] if said and rng.random() < 0.3 else said


def _is_held(topic: Topic, patient: Patient) -> bool:
    """True if the patient has a finding that a denial of `topic` would contradict."""
    held = {finding.kind.topic.finding for finding in patient.findings}
    return topic.finding in held or (topic.finding in AIRSPACE and bool(held & set(AIRSPACE)))


def _normals(patient: Patient, rng: Random) -> list[tuple[str, str]]:
    """(region, sentence) for regions without findings, in a sampled order."""
    held = {finding.kind.topic.finding for finding in patient.findings}
    denied = {topic.finding for topic in patient.denied}
    remarks: list[tuple[str, str]] = []
    if not {"cardiomegaly"} & (held | denied):
        remarks.append(("heart", rng.choice(wording.NORMAL_HEART)))
    if "enlarged cardiomediastinum" not in denied:
        remarks.append(("heart", rng.choice(wording.NORMAL_MEDIASTINUM)))
    if not held & {"edema", "consolidation", "atelectasis", "lung lesion", "pneumothorax"}:
        remarks.append(("lungs", rng.choice(wording.NORMAL_LUNGS)))
    if "edema" not in held:
        remarks.append(("lungs", rng.choice(wording.NORMAL_VESSELS)))
    pleural = [k for k in ("pneumothorax", "pleural effusion") if k not in held | denied]
    if pleural:
        remarks.append(("pleura", denial(pleural, rng)))
    if "fracture" not in denied:
        remarks.append(("bones", rng.choice(wording.NORMAL_BONES)))
    rng.shuffle(remarks)
    return remarks
