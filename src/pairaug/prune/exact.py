"""Sums without rounding: the same for every order and every grouping of their terms."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np

_MANTISSA_BITS = 53
_LOW_BITS = 26
# So many halves of mantissas (27 bits each) add up below 2^53, where float64 still counts by ones.
_MAX_AT_ONCE = 1 << 25


class ExactSum:
    """A sum of finite doubles without rounding, until it is read.

    A double is an integer of 53 bits times a power of two. The integers of each power are summed
    as they are, in halves that a `bincount` adds up exactly, so a part is added at NumPy's speed.
    """

    def __init__(self) -> None:
        self._by_exponent: defaultdict[int, int] = defaultdict(int)

    def add(self, term: float) -> None:
        """Adds one finite number."""
        self.add_all(np.array([term], dtype=np.float64))

    def add_all(self, terms: np.ndarray) -> None:
        """Adds finite numbers, float64 of shape `term`."""
        for start in range(0, len(terms), _MAX_AT_ONCE):
            self._add(terms[start : start + _MAX_AT_ONCE])

    def value(self) -> float:
        """The double nearest to the exact sum."""
        total = sum(
            (count * Fraction(2) ** exponent for exponent, count in self._by_exponent.items()),
            Fraction(),
        )
        return float(total)

    def _add(self, terms: np.ndarray) -> None:
        fractions, exponents = np.frexp(terms)
        mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
        high, low = mantissas >> _LOW_BITS, mantissas & ((1 << _LOW_BITS) - 1)
        lowest = int(exponents.min())
        places = exponents - lowest
        sums = (np.bincount(places, weights=half.astype(np.float64)) for half in (high, low))
        for place, (sum_high, sum_low) in enumerate(zip(*sums, strict=True)):
            total = (int(sum_high) << _LOW_BITS) + int(sum_low)
            if total:
                self._by_exponent[lowest + place - _MANTISSA_BITS] += total
