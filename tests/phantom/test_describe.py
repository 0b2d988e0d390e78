"""A phantom's report states all findings and no others, in varied words."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from pairaug.findings import extract
from pairaug.phantom import phrases
from pairaug.phantom.anatomy import sample_anatomy
from pairaug.phantom.describe import describe
from pairaug.phantom.findings import KINDS, SEVERITIES, SIDES, Finding
from pairaug.phantom.study import sample_study

# Names of each kind, independent of the code that writes and reads reports.
NAMES = {
    "cardiomegaly": r"cardiomegaly|enlarged heart|enlargement of the (heart|cardiac)"
    r"|(heart|silhouette|size) is (?!not)\w+ enlarged",
    "edema": r"edema",
    "pleural effusion": r"effusions?",
    "pneumothorax": r"pneumothora(x|ces)",
    "consolidation": r"consolidation",
    "atelectasis": r"atelectasis",
    "nodule": r"nodules?",
    "mass": r"\bmass(es)?\b",
    "pacemaker": r"pacemaker",
    "central line": r"central (line|venous catheter)",
    "endotracheal tube": r"endotracheal tube",
}
DETAILS = {"nodule", "mass", "pacemaker", "central line", "endotracheal tube"}
NUM_STUDIES = 2000


@pytest.fixture(scope="module")
def studies():
    return [sample_study(5, index) for index in range(NUM_STUDIES)]


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s+", text)


def _is_denial(sentence: str) -> bool:
    return re.match(r"(No|There is no|There are no)\b", sentence) is not None


def _every_finding() -> list[Finding]:
    every = []
    for kind in KINDS.values():
        sides = SIDES if kind.has_side else (None,)
        values = itertools.product(sides, kind.zones or (None,), kind.severities or (None,))
        every += [Finding(kind.name, *value) for value in values]
    return every


def test_length_of_both_sections(studies):
    findings = [len(study.findings_text.split()) for study in studies]
    impressions = [len(study.impression_text.split()) for study in studies]
    assert min(findings) >= 12
    assert max(findings) <= 38
    assert min(impressions) >= 2
    assert max(impressions) <= 12


def test_tokens_fit_the_text_encoder(studies):
    tokens = [len(re.findall(r"\w+|[^\w\s]", study.text)) for study in studies]
    assert np.quantile(tokens, 0.99) <= 72


def test_all_findings_at_once_fit_38_words():
    findings = [
        Finding("cardiomegaly", severity="severe"),
        Finding("edema", severity="mild"),
        Finding("consolidation", "left", "upper", "mild"),
        Finding("consolidation", "right", "middle", "moderate"),
        Finding("atelectasis", "left", "lower", "mild"),
        Finding("atelectasis", "right", "lower", "moderate"),
        Finding("nodule", "left", "upper"),
        Finding("mass", "right", "middle"),
        Finding("pacemaker", "left"),
        Finding("central line", "right"),
        Finding("endotracheal tube"),
    ]
    anatomy = sample_anatomy(np.random.default_rng(0))
    for seed in range(50):
        text, _ = describe(anatomy, findings, np.random.default_rng(seed))
        assert len(text.split()) <= 38
        assert all(re.search(NAMES[finding.kind], text, re.I) for finding in findings)


def test_few_patients_share_a_text(studies):
    assert len({study.text for study in studies}) >= 0.99 * NUM_STUDIES


def test_one_patient_has_many_wordings():
    study = sample_study(5, 3)
    assert len({study.report(variant) for variant in range(50)}) >= 45


def test_positives_and_denials_by_name(studies):
    for study in studies:
        present = {finding.kind for finding in study.findings}
        for sentence in _sentences(study.findings_text):
            for kind, name in NAMES.items():
                if not re.search(name, sentence, re.I):
                    continue
                # A denial of one side refers to the side without the finding.
                side = re.match(r"No (left|right) ", sentence)
                if _is_denial(sentence) and not side:
                    assert kind not in present, sentence
                elif _is_denial(sentence):
                    assert side is not None
                    assert (kind, side[1]) not in {(f.kind, f.side) for f in study.findings}
                else:
                    assert kind in present, sentence
        stated = " ".join(s for s in _sentences(study.findings_text) if not _is_denial(s))
        for kind in present:
            assert re.search(NAMES[kind], stated, re.I), (kind, stated)


@pytest.mark.parametrize("finding", _every_finding(), ids=str)
def test_extract_reads_each_finding_back(finding):
    anatomy = sample_anatomy(np.random.default_rng(1))
    for seed in range(12):
        text, _ = describe(anatomy, [finding], np.random.default_rng(seed))
        found = [s for s in extract(text) if s.presence == "present" and _is_kind(s, finding.kind)]
        assert {s.side for s in found} - {None} == {finding.side} - {None}, text
        stated = {s.severity for s in found} - {None}
        assert stated == {finding.severity} - {None} or finding.severity == "moderate", text
        if finding.zone:
            assert {s.zone for s in found} == {finding.zone}, text


def test_extract_reads_whole_reports_back(studies):
    """The kinds and sides read from both sections are those of the findings."""
    for study in studies:
        statements = extract(study.findings_text)
        stated = [s for s in statements if s.presence == "present"]
        assert not any(s.presence == "uncertain" for s in statements), study.findings_text
        found = set()
        for kind in KINDS:
            for statement in stated:
                if _is_kind(statement, kind):
                    sides = SIDES if statement.side == "bilateral" else (statement.side,)
                    found |= {(kind, side if KINDS[kind].has_side else None) for side in sides}
        assert found == {(f.kind, f.side) for f in study.findings}, study.findings_text
        listed = [s for s in extract(study.impression_text) if s.presence == "present"]
        for statement in listed:
            if statement.finding != "no finding":
                kinds = {f.kind for f in study.findings}
                assert any(_is_kind(statement, kind) for kind in kinds), study.impression_text


def _is_kind(statement, kind):
    if kind in DETAILS:
        return statement.detail == kind
    return statement.finding == kind


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"aorta": 0.9}, "tortuous|unfolded"),
        ({"lung_volume": 0.1}, "volumes"),
        ({"lung_volume": 0.95}, "hyperinflated|hyperexpanded"),
        ({"scoliosis": 0.9}, "left"),
        ({"scoliosis": -0.9}, "right"),
    ],
)
def test_build_is_remarked_on_when_it_is_remarkable(changes, word):
    plain = replace(
        sample_anatomy(np.random.default_rng(0)), aorta=0.5, lung_volume=0.5, scoliosis=0.0
    )
    remarked = [
        re.search(word, describe(anatomy, [], np.random.default_rng(seed))[0], re.I) is not None
        for anatomy in (plain, replace(plain, **changes))
        for seed in range(40)
    ]
    assert not any(remarked[:40])
    assert sum(remarked[40:]) >= 25


def test_both_sides_are_merged():
    anatomy = sample_anatomy(np.random.default_rng(0))
    both = [Finding("pleural effusion", "left", None, "mild")]
    both.append(replace(both[0], side="right"))
    texts = [describe(anatomy, both, np.random.default_rng(seed))[0] for seed in range(10)]
    assert all("bilateral" in text.lower() for text in texts)
    uneven = [both[0], replace(both[1], severity="severe")]
    texts = [describe(anatomy, uneven, np.random.default_rng(seed))[0] for seed in range(10)]
    mild = "|".join(phrases.SEVERITY_WORDS["pleural effusion"]["mild"])
    severe = "|".join(phrases.SEVERITY_WORDS["pleural effusion"]["severe"])
    for text in texts:
        assert re.search(rf"({mild}) left", text, re.I)
        assert re.search(rf"({severe}) right", text, re.I)


def test_every_severity_has_words():
    for kind in KINDS.values():
        for severity in kind.severities:
            assert phrases.SEVERITY_WORDS[kind.name][severity]
    assert set(phrases.SEVERITY_ADVERBS) == set(SEVERITIES)
