"""The stage: what was fitted, applied to pairs in memory or to a part as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pairaug.pair import Branch, Pair
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, columns_of, columns_of_table
from pairaug.prune.fit import Fitted, PruneSettings, judge
from pairaug.stage import Context


class Prune:
    """The stage: marks the synthetic pairs that fail their branch's rule, and the copies."""

    name = "prune"

    def __init__(
        self,
        settings: PruneSettings,
        fitted: Fitted,
        context: Context,
        copies: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        del settings  # All that decides is in `fitted`, which was made from them.
        self._fitted = fitted
        self._copies = copies or {}
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair as it is, or dropped; real pairs as they are. All of a part at a time."""
        part = list(pairs)
        failures = self._failures(columns_of(part))
        for row, pair in enumerate(part):
            if pair.drop is not None or not self._decides_on(pair.branch.value):
                yield pair
                continue
            judged = pair.with_trace(self.name, rule=self._fitted[pair.branch.value]["rule"])
            yield judged.dropped(self.name, *failures[row]) if row in failures else judged
            self._context.report_progress(1)

    def apply_to_table(self, table: pa.Table) -> pa.Table:
        """A part's table with the drops of this stage: the same as pair by pair, and far faster.

        Nothing but the columns `drop_*` and `trace` is looked into.
        """
        columns = columns_of_table(table)
        failures = self._failures(columns)
        texts: dict[str, list[str | None]] = {
            name: [None] * len(columns) for name in ("drop_stage", "drop_reason", "drop_detail")
        }
        for row, (reason, detail) in failures.items():
            for name, text in zip(texts, (self.name, reason, detail), strict=True):
                texts[name][row] = text
        for name, values in texts.items():
            column = pc.coalesce(table[name], pa.array(values, pa.string()))
            table = table.set_column(table.schema.get_field_index(name), name, column)
        is_judged = columns.is_living & np.array(
            [self._decides_on(branch) for branch in columns.branches], dtype=bool
        )
        table = table.set_column(
            table.schema.get_field_index("trace"), "trace", self._traces(table, columns, is_judged)
        )
        self._context.report_progress(int(is_judged.sum()))
        return table

    def _failures(self, columns: Columns) -> Failures:
        failures = judge(self._fitted, columns)
        if self._copies:
            failures |= {
                row: self._copies[name]
                for row, name in enumerate(columns.ids)
                if name in self._copies
            }
        return failures

    def _decides_on(self, branch: str) -> bool:
        return branch in (Branch.INTER, Branch.INTRA) and branch in self._fitted

    def _traces(self, table: pa.Table, columns: Columns, is_judged: np.ndarray) -> Any:
        """The traces with an entry of this stage appended, without reading the others."""
        entries = {
            branch: json.dumps({self.name: {"rule": self._fitted[branch]["rule"]}})
            for branch in (Branch.INTER.value, Branch.INTRA.value)
            if branch in self._fitted
        }
        opened = pc.utf8_slice_codeunits(table["trace"], 0, -1)
        is_empty = pc.equal(table["trace"], "{}")
        traces = table["trace"]
        for branch, entry in entries.items():
            inside = entry[1:].replace(": ", ":")
            longer = pc.if_else(
                is_empty,
                pc.binary_join_element_wise(opened, inside, ""),
                pc.binary_join_element_wise(opened, inside, ","),
            )
            mask = pa.array(is_judged & (columns.branches == branch))
            traces = pc.if_else(mask, longer, traces)
        return traces
