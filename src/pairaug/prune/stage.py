"""The stage: applies fitted rules to pairs in memory, or to a part as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pairaug.pair import Branch, Pair
from pairaug.prune.bounds import Failures
from pairaug.prune.columns import Columns, columns_of, columns_of_table
from pairaug.prune.fit import FittedRules, PruneSettings, apply
from pairaug.stage import RunContext

# Its functions are made at import, so no type checker knows them.
pc: Any = pyarrow.compute


class Prune:
    """The stage: drops the synthetic pairs that their branch's rule drops, and the copies."""

    name = "prune"

    def __init__(
        self,
        settings: PruneSettings,
        fitted: FittedRules,
        context: RunContext,
        copies: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        del settings  # `fitted` was made from them and has all that is needed.
        self._fitted = fitted
        self._copies = copies or {}
        self._context = context

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Each pair, unchanged or dropped; real pairs are never dropped. Takes a part at a time."""
        part = list(pairs)
        failures = self._failures(columns_of(part))
        for row, pair in enumerate(part):
            if pair.drop is not None or not self._decides_on(pair.branch.value):
                yield pair
                continue
            decided = pair.with_trace(self.name, rule=self._fitted[pair.branch.value]["rule"])
            yield decided.dropped(self.name, *failures[row]) if row in failures else decided
            self._context.report_progress(1)

    def apply_to_table(self, table: pa.Table) -> pa.Table:
        """A part's table with this stage's drops: the result of `__call__`, computed much faster.

        Only the columns `drop_*` and `trace` are changed.
        """
        columns = columns_of_table(table, for_fitting=False)
        failures = self._failures(columns)
        texts: dict[str, list[str | None]] = {
            name: [None] * len(columns) for name in ("drop_stage", "drop_reason", "drop_detail")
        }
        for row, (reason, detail) in failures.items():
            texts["drop_stage"][row] = self.name
            texts["drop_reason"][row] = reason
            texts["drop_detail"][row] = detail
        for name, values in texts.items():
            column = pc.coalesce(table[name], pa.array(values, pa.string()))
            table = table.set_column(table.schema.get_field_index(name), name, column)
        decided = [branch.value for branch in Branch if self._decides_on(branch.value)]
        is_decided = columns.is_living & np.isin(columns.branches.astype(str), decided)
        table = table.set_column(
            table.schema.get_field_index("trace"), "trace", self._traces(table, columns, is_decided)
        )
        self._context.report_progress(int(is_decided.sum()))
        return table

    def _failures(self, columns: Columns) -> Failures:
        failures = apply(self._fitted, columns)
        if self._copies:
            failures |= {
                row: self._copies[name]
                for row, name in enumerate(columns.ids)
                if name in self._copies
            }
        return failures

    def _decides_on(self, branch: str) -> bool:
        return branch in (Branch.INTER, Branch.INTRA) and branch in self._fitted

    def _traces(self, table: pa.Table, columns: Columns, is_decided: np.ndarray) -> Any:
        """The traces with this stage's entry put first, without parsing the others."""
        traces = table["trace"]
        is_empty = pc.equal(traces, "{}")
        for branch in (Branch.INTER.value, Branch.INTRA.value):
            mask = is_decided & (columns.branches == branch)
            if not mask.any():
                continue
            entry = json.dumps({self.name: {"rule": self._fitted[branch]["rule"]}})
            entry = entry.replace(": ", ":")
            longer = pc.binary_replace_slice(traces, start=0, stop=1, replacement=f"{entry[:-1]},")
            alone = pa.scalar(entry)
            longer = pc.if_else(is_empty, alone, longer) if pc.any(is_empty).as_py() else longer
            traces = pc.if_else(pa.array(mask), longer, traces)
        return traces
