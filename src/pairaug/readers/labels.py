"""Labels of findings as datasets write them, brought to those of a pair."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pairaug.errors import DataError
from pairaug.pair import FINDINGS
from pairaug.readers.unquoted import kind_of

Labels = dict[str, bool | None]

CHEXPERT_COLUMNS = {finding: finding.title() for finding in FINDINGS}
"""Finding → the column that holds it in the CSV files of CheXpert, MIMIC-CXR-JPG and CheXbert."""

# -1 is an uncertain statement.
_STATES = {"1": True, "0": False, "-1": None, "true": True, "false": False}
_CODES = {None: 1, False: 2, True: 3}
_BITS = 2


def label_state(stated: object, where: str) -> bool | None:
    """True for a label that says present, False for absent, None for uncertain (-1).

    Anything else raises `DataError`, which says where it is and not what it is.
    """
    key = re.sub(r"\.0+$", "", str(stated).strip().lower())
    if not isinstance(stated, str | int | float) or key not in _STATES:
        raise DataError(f"{where} has {kind_of(stated)}; a label is 1, 0, -1 or empty")
    return _STATES[key]


def mapped_labels(stated: object) -> Labels:
    """The findings among the keys of a mapping whose values are labels; others are left out."""
    labels: Labels = {}
    for name, value in stated.items() if isinstance(stated, Mapping) else ():
        if name in FINDINGS and value is not None:
            try:
                labels[name] = label_state(value, "")
            except DataError:  # The mapping is another's, and may hold what we do not know.
                continue
    return labels


def chexpert_labels(row: Mapping[str, object], where: str) -> Labels:
    """The labels in a row by finding: 1 present, 0 absent, -1 not known, empty left out."""
    labels: Labels = {}
    for finding, column in CHEXPERT_COLUMNS.items():
        stated = row[finding]
        if stated is not None:
            labels[finding] = label_state(stated, f"{where}, column {column!r},")
    return labels


def pack(labels: Mapping[str, bool | None]) -> int:
    """All labels of a study in one number, for hundreds of thousands of them in memory."""
    return sum(
        _CODES[labels[finding]] << _BITS * place
        for place, finding in enumerate(FINDINGS)
        if finding in labels
    )


def unpack(number: int) -> Labels:
    """The labels that `packed` made `number` of."""
    states = {code: state for state, code in _CODES.items()}
    codes = ((finding, number >> _BITS * place & 3) for place, finding in enumerate(FINDINGS))
    return {finding: states[code] for finding, code in codes if code}


def stated_findings(terms: Iterable[str], finding_of: Mapping[str, str]) -> Labels:
    """The findings that `terms` name, as present; what they do not name is not stated."""
    found = {finding_of[term] for term in terms if term in finding_of}
    return {finding: True for finding in FINDINGS if finding in found}
