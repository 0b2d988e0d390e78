"""At least 3,000 real reports a second on one core, where real reports are at hand."""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

import pytest

from pairaug.findings import extract
from pairaug.findings.extract import _read

pytestmark = pytest.mark.dataset
DATA = Path(os.environ.get("PAIRAUG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_thousands_of_reports_a_second(capsys: pytest.CaptureFixture[str]):
    path = DATA / "openi_reports" / "reports.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with path.open(newline="", encoding="utf-8") as file:
        texts = [f"{row['findings']} {row['impression']}" for row in csv.DictReader(file)]
    extract("No effusion.")  # the pattern is made once
    _read.cache_clear()
    # The processor's time: others may be using this machine.
    started = time.process_time()
    for text in texts:
        extract(text)
    rate = len(texts) / (time.process_time() - started)
    with capsys.disabled():
        sys.stdout.write(f"\n{rate:,.0f} reports a second\n")
    assert rate >= 3000
