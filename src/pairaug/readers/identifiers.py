"""Ids in one form, however a table writes them: the same patient has the same text everywhere."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

# 10000032.0, or with a decimal comma 10000032,0.
_FLOAT = re.compile(r"(\d+)(?:\.0*|,0+)")
# Numbers marked as text in spreadsheets: ="10000032", '10000032.
_AS_TEXT = re.compile(r"=\"(.*)\"|'(.*)")
# As pandas, R and spreadsheets write large numbers: 1.0000032e+07, 1E7.
_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d{1,2}")
_UNSEEN = " \t\r\n\ufeff\u200b\u00a0"


def patient_key(text: str) -> str:
    """A patient's id without the additions of spreadsheets and pandas; leading zeros stay.

    pandas turns an integer column with an empty cell into floating point numbers, so 10000032,
    10000032.0 and 1.0000032e+07 are one patient.
    """
    # NFKC: full-width digits become ASCII digits.
    key = unicodedata.normalize("NFKC", text).strip(_UNSEEN).strip()
    if quoted := _AS_TEXT.fullmatch(key):
        key = (quoted.group(1) or quoted.group(2) or "").strip()
    if number := _FLOAT.fullmatch(key):
        return number.group(1)
    if _SCIENTIFIC.fullmatch(key):
        value = Decimal(key)
        if value == value.to_integral_value():
            return str(int(value))
    return key


def whole_number(text: str | None) -> int | None:
    """An id as an integer, however it is written; None if it is not a whole number."""
    key = patient_key(text or "")
    return int(key) if key.isascii() and key.isdecimal() and len(key) <= 18 else None
