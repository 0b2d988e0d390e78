"""Every layout and every format of tables, with any file damaged and any cell of another type."""

from __future__ import annotations

from hypothesis import strategies as st

from support.fuzz.bounded import fuzz
from support.fuzz.checks import SOURCES, damaged_tree, foreign_cells
from support.fuzz.strategies import DAMAGES, JSON_VALUES, TEXTS, VALUES
from support.planted_trees import ROWS


def _cells(suffix: str, values: st.SearchStrategy) -> st.SearchStrategy:
    columns = st.dictionaries(st.sampled_from(sorted(ROWS[0])), values, min_size=1, max_size=3)
    return st.tuples(st.just(suffix), columns)


test_any_file_may_be_damaged = fuzz(
    damaged_tree,
    st.tuples(st.sampled_from(sorted(SOURCES)), st.integers(0, 999), st.booleans(), DAMAGES),
    short=80,
    valid=[(name, 0, False, ()) for name in SOURCES],
)
test_any_cell_may_be_foreign = fuzz(
    foreign_cells,
    _cells("csv", TEXTS)
    | _cells("tsv", TEXTS)
    | _cells("jsonl", JSON_VALUES)
    | _cells("parquet", VALUES),
    short=60,
    valid=[(suffix, {}) for suffix in ("csv", "tsv", "jsonl", "parquet")],
)
