"""Labels of findings in datasets' notations, converted to a pair's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pairaug.errors import DataError
from pairaug.pair import FINDINGS
from pairaug.readers.unquoted import kind_of

Labels = dict[str, bool | None]

CHEXPERT_COLUMNS = {finding: finding.title() for finding in FINDINGS}
"""Finding → its column in the CSV files of CheXpert, MIMIC-CXR-JPG and CheXbert."""

# -1 is an uncertain statement.
_STATES = {"1": True, "0": False, "-1": None, "true": True, "false": False}
_CODES = {None: 1, False: 2, True: 3}
_BITS = 2


def label_state(stated: object, where: str) -> bool | None:
    """True for a label of present, False for absent, None for uncertain (-1).

    Anything else raises `DataError` with its position, not its content.
    """
    key = re.sub(r"\.0+$", "", str(stated).strip().lower())
    if not isinstance(stated, str | int | float) or key not in _STATES:
        raise DataError(f"{where} has {kind_of(stated)}; a label is 1, 0, -1 or empty")
    return _STATES[key]


def mapped_labels(stated: object) -> Labels:
    """Labels of the known findings in a mapping; other keys and values are left out."""
    labels: Labels = {}
    for name, value in stated.items() if isinstance(stated, Mapping) else ():
        if name in FINDINGS and value is not None:
            try:
                labels[name] = label_state(value, "")
            except DataError:  # Other programs' mappings may hold other values.
                continue
    return labels


def chexpert_labels(row: Mapping[str, object], where: str) -> Labels:
    """Labels of a row by finding: 1 present, 0 absent, -1 uncertain, empty left out."""
    labels: Labels = {}
    for finding, column in CHEXPERT_COLUMNS.items():
        stated = row[finding]
        if stated is not None:
            labels[finding] = label_state(stated, f"{where}, column {column!r},")
    return labels


def pack(labels: Mapping[str, bool | None]) -> int:
    """All labels of a study in one number, to keep hundreds of thousands in memory."""
    return sum(
        _CODES[labels[finding]] << _BITS * index
        for index, finding in enumerate(FINDINGS)
        if finding in labels
    )


def unpack(number: int) -> Labels:
    """The labels packed into `number` by `pack`."""
    states = {code: state for state, code in _CODES.items()}
    codes = ((finding, number >> _BITS * index & 3) for index, finding in enumerate(FINDINGS))
    return {finding: states[code] for finding, code in codes if code}


def stated_findings(terms: Iterable[str], finding_of: Mapping[str, str]) -> Labels:
    """The findings named by `terms` as present; others are not stated."""
    found = {finding_of[term] for term in terms if term in finding_of}
    return {finding: True for finding in FINDINGS if finding in found}
