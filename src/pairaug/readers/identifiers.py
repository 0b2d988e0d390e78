"""Ids as tables write them, brought to one form: the same patient is the same text everywhere."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

# 10000032.0, and in a decimal comma's countries 10000032,0.
_FLOAT = re.compile(r"(\d+)(?:\.0*|,0+)")
# How spreadsheets are made to take a number for text: ="10000032", '10000032.
_AS_TEXT = re.compile(r"=\"(.*)\"|'(.*)")
# As pandas, R and spreadsheets write large numbers: 1.0000032e+07, 1E7.
_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d{1,2}")
_UNSEEN = " \t\r\n\ufeff\u200b\u00a0"


def patient_key(text: str) -> str:
    """A patient's id without what a table's program adds to it; leading zeros stay.

    A column that has an empty cell becomes one of floating point numbers in pandas, so 10000032,
    10000032.0 and 1.0000032e+07 are one patient.
    """
    # NFKC: the digits of East Asian keyboards are digits.
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
    """The number that an id is, however it is written; None where it is none."""
    key = patient_key(text or "")
    return int(key) if key.isascii() and key.isdecimal() and len(key) <= 18 else None
