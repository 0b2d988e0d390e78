"""One thread: the tests' time must not depend on what else the machine does."""

from __future__ import annotations

import subprocess
import sys

import torch


def test_tests_compute_with_one_thread() -> None:
    assert torch.get_num_threads() == 1


def test_child_processes_compute_with_one_thread() -> None:
    code = "import torch; print(torch.get_num_threads())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "1"
