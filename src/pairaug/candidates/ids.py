"""What a further candidate of a report's image is called, where it is a pair of its own."""

from __future__ import annotations

import re

_FURTHER = re.compile(r"~candidate-\d+$")


def candidate_id(pair_id: str, number: int) -> str:
    """The pair's own id for the first candidate, and one of its own for each further one."""
    return pair_id if number == 0 else f"{pair_id}~candidate-{number}"


def first_candidate_id(pair_id: str) -> str:
    """The id of the first candidate of the same report: what all its candidates have in common."""
    return _FURTHER.sub("", pair_id)
