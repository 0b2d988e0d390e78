"""Parts and JSON files of runs, damaged or holding other values."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pairaug.manifest import SCHEMA, write_part
from pairaug.pair import Branch, ImageRef, Pair, Report
from pairaug.record import RunRecord
from support.fuzz.bounded import fuzz
from support.fuzz.checks import damaged_part, foreign_part, json_file
from support.fuzz.strategies import CHANGES, DAMAGES, JSON_VALUES, VALUES

_PAIR = Pair("x/1", Branch.REAL, "p", Report("Clear.", "Normal."), split="train",
             image=ImageRef("/a.png", sha256="ab" * 32),
             labels={"edema": True}, trace={"read": {"view": "PA"}})  # fmt: skip


def _part() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        dropped = _PAIR.dropped("read", "empty_report", "row 1")
        return write_part(Path(folder), 0, [_PAIR, dropped], "f", is_last=True).read_bytes()


PART = _part()

FILES: dict[str, Any] = {
    "run.json": RunRecord(
        seed=1,
        source={"name": "x", "access": "public"},
        weights={"generate": {"x": "ab"}},
        fingerprints={"read": {"fingerprint": "ab", "inputs": {"seed": 1}}},
        rule={"inter": {"bounds": {"image_report": 0.5}}},
        counts={"read": {"in": 0, "created": 2, "living": {"real": 2}, "dropped": {}}},
        quality={"records": 2},
        seconds={"read": 1.5},
    ).as_json(),
    "export.json": {"formats": ["parquet", "webdataset"], "edition": "ab", "counts": {"real": 1}},
}
_OWN = (
    st.binary(max_size=20)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | JSON_VALUES.map(lambda value: json.dumps({"format": value, "is_last": value}).encode())
)

test_any_part_may_be_damaged = fuzz(
    damaged_part, st.tuples(st.just(PART), DAMAGES), short=50, valid=[(PART, ())]
)
test_any_part_may_hold_other_values = fuzz(
    foreign_part,
    st.tuples(
        st.just(PART),
        st.dictionaries(st.sampled_from(SCHEMA.names), VALUES, max_size=3),
        st.none() | _OWN,
    ),
    short=50,
    valid=[(PART, {}, None)],
)
test_any_json_file_may_hold_other_values = fuzz(
    json_file,
    st.sampled_from(sorted(FILES)).flatmap(
        lambda kind: (
            st.tuples(st.just(kind), st.just(FILES[kind]), CHANGES)
            | st.tuples(st.just(kind), st.just(json.dumps(FILES[kind]).encode()), DAMAGES)
        )
    ),
    short=50,
    valid=[(kind, content, ()) for kind, content in FILES.items()],
)
