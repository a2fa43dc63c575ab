"""Seconds from `make run` to the first answered event, on a machine that is set up. Each start is a fresh one, on free ports."""

from __future__ import annotations

import re
import statistics
import subprocess
import time

from bench.report import progress
from jobs.embedded import paths
from jobs.embedded.ports import free_ports

PORT_FLAGS = ("--kafka-port", "--controller-port", "--zookeeper-port", "--flink-port", "--grpc-port", "--http-port", "--metrics-port",
              "--sidecar-metrics-port")
LIMIT_S = 240


def run(quick: bool, seed: int) -> dict:
    found = []
    for _ in range(1 if quick else 5):
        found.append(_start())
        progress(f"first answer after {found[-1]:.1f} s")
    print(f"first answer after {statistics.median(found):.1f} s (median of {len(found)}; {min(found):.1f} to {max(found):.1f})")
    return {"first_answer_s": round(statistics.median(found), 2), "runs": found}


def _start() -> float:
    """The run tells when the first answer came, on its own clock; its first lines, as they come, tell how far that is behind `make`'s."""
    arguments = " ".join(f"{flag} {port}" for flag, port in zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)), strict=True))
    began = time.monotonic()
    with subprocess.Popen(["make", "run", f"ARGS=--duration 8 {arguments}"], cwd=paths.ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines, behind, answered = [], [], None
        for line in process.stdout:
            lines.append(line)
            if up := re.match(r"\s*([\d.]+) s  \w+ is up", line):
                behind.append(time.monotonic() - began - float(up[1]))
            if first := re.search(r"first answer ([\d.]+) s after the start", line):
                answered = float(first[1])
        status = process.wait(LIMIT_S)
    if status or answered is None or not behind:
        raise AssertionError("make run did not end well:\n" + "".join(lines[-30:]))
    return round(answered + min(behind), 1)
