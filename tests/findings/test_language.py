"""The language of a report: English is read for findings, others are not."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import pytest

from pairaug.findings import is_english, report_labels
from support.foreign_reports import REPORTS

DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

ENGLISH = """
Normal chest.|Clear.|Normal.|Unremarkable.|Cardiomegaly.|Pneumothorax.|Edema.|Pneumonia|Infiltrate
No change.|Stable.|NAD|Nil acute.|PTX left.|CHF.|ETT ok. NGT ok.|Lungs clear|No ptx|RLL pna|COPD|TB
Right IJ CVL tip SVC.|R PICC|No acute cardiopulmonary disease.|Hiatal hernia.|Pulmonary fibrosis
Vascular congestion|Rib fx|s/p CABG|Post op|De novo mass|LA enlargement|AP portable|Os acromiale
Severe emphysema|Hyperinflation|Bronchiectasis|Scoliosis|Situs inversus|Cor pulmonale|In situ ICD
Dr. M\u00fcller notified|R\u00f6ntgen: clear lungs|5 \u00b5m filter in place|Pectus excavatum
Azygos lobe|Pleural plaques|Multifocal pneumonia|Lobar consolidation|Sarcoidosis|Bullae|No edema
Pneumothorax, pneumonia, edema, consolidation, fracture, atelectasis|XXXX XXXX XXXX XXXX XXXX XXXX
Reported by Juan de la Cruz. No effusion.|Calcified aorta|Cavitary lesion|Diffuse pulmonary edema
"""
CASES = [text for line in ENGLISH.strip().splitlines() for text in line.split("|")]


@pytest.mark.parametrize("text", CASES)
def test_short_english_is_english(text: str) -> None:
    assert is_english(text)
    assert is_english(text.upper())


@pytest.mark.parametrize("text", [text for texts in REPORTS.values() for text in texts])
def test_other_languages_are_not(text: str) -> None:
    assert not is_english(text)
    assert set(report_labels(text).values()) == {None}


@pytest.mark.parametrize("text", ["", " ", "7", "\u2014"])
def test_without_words_is_english(text: str) -> None:
    assert is_english(text)


def test_labels_of_english_report() -> None:
    labels = report_labels("No pneumothorax. Edema.")
    assert {name: label for name, label in labels.items() if label is not None} == {
        "no finding": False,
        "pneumothorax": False,
        "edema": True,
    }


def test_majority_of_words_counts() -> None:
    assert is_english("FINDINGS: The lungs are clear. (Befund: frei)")
    assert not is_english("FINDINGS: Kein Erguss, keine Stauung. IMPRESSION: Normal.")


@pytest.mark.dataset
@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")
@pytest.mark.parametrize("section", ["findings", "impression"])
def test_english_reports_of_collections(
    section: str,
) -> None:
    for name in ("openi_reports", "covid_cxr_pairs"):
        with (DATA / name / "reports.csv").open(encoding="utf-8") as file:
            texts = [row[section] for row in csv.DictReader(file) if row[section]]
        assert [index for index, text in enumerate(texts) if not is_english(text)] == []


def test_language_check_is_fast() -> None:
    report = "The heart is mildly enlarged. There is a small left pleural effusion. " * 4
    started = time.perf_counter()
    for _ in range(300):
        is_english(report)
    assert 300 / (time.perf_counter() - started) > 3000
