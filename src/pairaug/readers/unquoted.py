"""Descriptions of a dataset's cells for messages: kind and length, never their content.

A cell of any column can be a report or a patient's id, and so can the first row of a table without
a header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAX_NAMES = 40
_LONGEST_NAME = 40
_MAX_WORDS = 4
# Names of columns start with a letter, have no long number, and do not end as sentences do.
_NAME = re.compile(r"[^\W\d][\w \-./:()#%&+]*", re.UNICODE)
_LIKE_DATA = re.compile(r"\d{4}|[.,;:]$|\.(png|jpe?g|tiff?|dcm|dicom|txt|npy|h5)$", re.IGNORECASE)


def kind_of(value: object) -> str:
    """Kind of a cell, such as "a number" or "a text of 34 characters"."""
    if not isinstance(value, str):
        return "nothing" if value is None else f"a {type(value).__name__}"
    if not value:
        return "nothing"
    if re.fullmatch(r"[+-]?\d+([.,]\d+)?", value):
        return "a number"
    what = "a word" if len(value.split()) == 1 else "a text"
    return f"{what} of {len(value)} characters"


def is_name(text: str) -> bool:
    """True if `text` can name a column or a finding: short, and not a sentence."""
    is_short = len(text) <= _LONGEST_NAME and len(text.split()) <= _MAX_WORDS
    return is_short and bool(_NAME.fullmatch(text)) and not _LIKE_DATA.search(text)


def are_names(columns: Sequence[str]) -> bool:
    """True if a table's first row can be its header, so that no cell looks like data."""
    # pandas leaves the index unnamed, R names it "#".
    named = [name for name in columns if name not in ("", "#")]
    return bool(named) and all(map(is_name, named))


def name_list(columns: Sequence[str]) -> str:
    """Column names for a message, or only their number if one does not look like a name."""
    if not are_names(columns):
        return (
            f"Its first row of {len(columns)} cells does not look like names of columns; "
            "does the table have a header?"
        )
    more = len(columns) - _MAX_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return f"Its columns are: {', '.join(columns[:_MAX_NAMES])}{rest}"
