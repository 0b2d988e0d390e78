"""Folders of models with any file damaged, or any value of their JSON another."""

from __future__ import annotations

from hypothesis import strategies as st

from support.fuzz.bounded import fuzz
from support.fuzz.checks import model_folder
from support.fuzz.strategies import CHANGES, DAMAGES

KINDS = ["generator", "scorer"]

test_any_file_of_a_model_may_be_damaged = fuzz(
    model_folder,
    st.tuples(st.sampled_from(KINDS), st.integers(0, 99), DAMAGES | CHANGES),
    short=16,
    valid=[(kind, 0, ()) for kind in KINDS],
)
