"""The `sluice` command as a user runs it, and what else a user does to a running machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def sluice(*arguments: str, status: int = 0, **environment: str) -> str:
    """What the command printed, errors too; AssertionError when it ends with another status."""
    done = subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], cwd=ROOT, env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    assert done.returncode == status, f"status {done.returncode} of {arguments}:\n{done.stdout}"
    return done.stdout


def setting(running, stage: str, change: dict | None = None) -> dict:
    """A stage's record at the running machine's service; with `change`, its setting after that."""
    request = urllib.request.Request(f"http://{running.http_address}/sluice/v1/stages/{stage}", headers={"Content-Type": "application/json"})
    if change is not None:
        request.method, request.data = "PATCH", json.dumps(change).encode()
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def rewrite(running, text: str) -> None:
    """Changes the pipeline file of a running machine; returns once its service has started with it."""
    running.supervisor.stop_child("service")
    running.config.pipeline.write_text(text)
    running.supervisor.start(running.service())
    running.supervisor.wait_ready(["service"])
