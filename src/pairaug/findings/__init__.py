"""Which findings a report states, denies or leaves open; pure text in, statements out."""

from pairaug.findings.extract import extract
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
    "labels_of",
    "sentences",
]
