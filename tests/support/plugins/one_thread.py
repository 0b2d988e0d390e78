"""Tests and the processes that they start compute with one thread each.

Models of 16 pixels gain nothing from a second thread, and where cores are busy two threads wait for
each other.
"""

from __future__ import annotations

import os
import sys

# Read when PyTorch is imported, here and in child processes, which inherit them.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

if "torch" in sys.modules:
    sys.modules["torch"].set_num_threads(1)
