"""Freed memory is kept, so that looking at the next image costs no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_MEASURE = """
import resource, sys
from pairaug.system.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "kept" else None)
def look():
    return [b"1" * (16 << 20) for _ in range(3)]  # an image as it comes, and twice on its way
look()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    look()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> tuple[str, int]:
    command = [sys.executable, "-c", _MEASURE, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    was_set, faults = done.stdout.split()
    return was_set, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_large_blocks_come_back_without_page_faults() -> None:
    was_set, faults = _faults("kept")
    _, usual = _faults("given back")
    assert was_set == "True"
    assert usual > 20 * (1 + faults)


def test_other_c_library_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    from pairaug.system.memory import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert keep_freed_memory() is False
