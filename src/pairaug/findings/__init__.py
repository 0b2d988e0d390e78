"""Findings stated, denied or left open by a report: text in, statements out."""

from pairaug.findings.extract import extract
from pairaug.findings.language import is_english, report_labels
from pairaug.findings.sentences import sentences
from pairaug.findings.statement import (
    FINDINGS,
    Presence,
    Severity,
    Side,
    Statement,
    Zone,
    labels_of,
)

__all__ = [
    "FINDINGS",
    "Presence",
    "Severity",
    "Side",
    "Statement",
    "Zone",
    "extract",
    "is_english",
    "labels_of",
    "report_labels",
    "sentences",
]
