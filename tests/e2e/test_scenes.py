"""The second example, by the command that people run; a file of its own, so that no other machine runs beside it."""

import re
import subprocess
import sys

import pytest

from jobs.embedded.paths import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]


def test_the_number_on_a_scene_is_read():
    free = [part for name in ("kafka", "controller", "zookeeper", "flink", "flink-metrics", "grpc", "http", "metrics", "sidecar-metrics")
            for part in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "jobs.cli", "run", "--pipeline", "pipelines/scenes.yaml", "--duration", "6", "--rate", "25", *free]
    run = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^lost +0$", run.stdout, re.MULTILINE)
    right = re.search(r"^accuracy +([0-9.]+)%", run.stdout, re.MULTILINE)
    assert right is not None, run.stdout
    assert float(right.group(1)) >= 90
