"""The `sluice` command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.feed import wait_for

ROOT = Path(__file__).resolve().parents[2]


def sluice(*arguments: str, status: int = 0, **environment: str) -> str:
    """What the command printed, errors too; AssertionError when it ends with another status."""
    done = subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == status, f"status {done.returncode} of {arguments}:\n{done.stdout}"
    return done.stdout


def rewrite(running, text: str) -> None:
    """Changes the pipeline file of a running machine; returns once its service has started with it."""
    running.config.pipeline.write_text(text)
    before = restarts(running)
    running.supervisor.kill("service")
    wait_for(lambda: restarts(running) > before, "the service starts again")
    running.supervisor.wait_ready(["service"])


def restarts(running) -> int:
    return next(state.restarts for state in running.supervisor.states() if state.name == "service")
