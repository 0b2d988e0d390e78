"""Settings in files and on the command line."""

from __future__ import annotations

from hypothesis import strategies as st

from pairaug.config import as_yaml, flatten, load_settings
from support.fuzz.bounded import fuzz
from support.fuzz.checks import settings_on_top, settings_text
from support.fuzz.strategies import DAMAGES, TEXTS, damaged

_DEMO = load_settings(preset="demo")
NAMES = sorted(flatten(_DEMO.model_dump(mode="json")))
FILES = [
    as_yaml(_DEMO).encode(),
    b"preset: demo\nread: {layout: phantom, num_patients: 5}\nprune: {inter: {rule: quantile}}\n",
    b"read: &a\n  layout: table\n  table: x.csv\n  columns: {id: x, labels: {edema: e}}\nlimit: 3",
]
_VALUES = TEXTS | st.sampled_from(
    ["[]", "{}", "{a: 1}", "[1, 2]", "null", "~", "no", "12:30", "010", "0x10", ".inf", "1e-3",
     "!!float 1", "&a [*a]", "'", '"', "[" * 900, "- a", "a: b: c", "<<: {a: 1}", "file/x.yaml"]
)  # fmt: skip

test_any_file_may_be_settings = fuzz(
    settings_text, st.builds(damaged, st.sampled_from(FILES), DAMAGES), short=40, valid=FILES
)
test_any_value_may_be_set = fuzz(
    settings_on_top,
    st.lists(
        st.builds(lambda name, value: f"{name}={value}", st.sampled_from(NAMES), _VALUES)
        | st.builds(lambda name, value: f"{name}={value}", TEXTS, _VALUES)
        | TEXTS,
        min_size=1,
        max_size=3,
    ),
    short=60,
    valid=[[], ["seed=3"]],
)
