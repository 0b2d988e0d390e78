"""What a process starts ends with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SCRIPT = """
import os, time
from pairaug.system.workers import open_workers
pool = open_workers(2)
working = pool.submit(os.getpid).result()
pool.submit(time.sleep, 600)
pool.submit(time.sleep, 600)
print(working, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Dead, its exit status not yet collected.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def ends(pid: int, within: float = 20.0) -> bool:
    until = time.monotonic() + within
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return not is_alive(pid)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_opened_them(signal_number: int) -> None:
    command = [sys.executable, "-c", _SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.send_signal(signal_number)
    assert ends(worker)


def test_terminated_command_resumes(tmp_path: Path) -> None:
    settings = ["--set", "read.num_patients=4", "--set", "part_size=1"]
    settings += ["--set", "generate.num_inference_steps=2", "--set", "edit.num_inference_steps=2"]
    pairaug = Path(sys.executable).with_name("pairaug")
    command = [str(pairaug), "demo", "--out", str(tmp_path / "run"), *settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("run/read/*.parquet")) and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert said.splitlines()[-1] == "pairaug: stopped; repeat the command to resume"
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert (tmp_path / "run" / "summary.html").exists()
