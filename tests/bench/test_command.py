"""`python -m bench` as a command."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from jobs.embedded.paths import ROOT
from tests.e2e.feed import wait_for


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return bool(caught >> (number - 1) & 1)


def test_a_bench_that_is_told_to_end_leaves_by_its_own_way_out():
    with subprocess.Popen([sys.executable, "-m", "bench", "sim_speed"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _catches(process.pid, signal.SIGTERM), "a handler for SIGTERM", 20)
            process.terminate()
            assert process.wait(timeout=20) == 128 + signal.SIGTERM
        finally:
            process.kill()
