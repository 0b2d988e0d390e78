"""What a further try of a report's image is called, where it is a pair of its own."""

from __future__ import annotations

import re

_FURTHER = re.compile(r"~try-\d+$")


def try_id(pair_id: str, number: int) -> str:
    """The pair's own id for the first try, and one of its own for each further one."""
    return pair_id if number == 0 else f"{pair_id}~try-{number}"


def first_try_id(pair_id: str) -> str:
    """The id of the first try of the same report: what all its tries have in common."""
    return _FURTHER.sub("", pair_id)
