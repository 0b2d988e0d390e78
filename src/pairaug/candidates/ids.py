"""Ids of candidates that become pairs of their own."""

from __future__ import annotations

import re

_FURTHER = re.compile(r"~candidate-\d+$")


def candidate_id(pair_id: str, number: int) -> str:
    """The id of a candidate's pair: the pair's own for the first, with a suffix for the others."""
    return pair_id if number == 0 else f"{pair_id}~candidate-{number}"


def first_candidate_id(pair_id: str) -> str:
    """The id of the first candidate of the same report, shared by all of its candidates."""
    return _FURTHER.sub("", pair_id)
