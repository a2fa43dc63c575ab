"""How `sluice run` ends when it does not go well: the reason is said, and no process stays."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("kafka", "controller", "zookeeper", "flink", "flink-metrics", "grpc", "http", "metrics", "sidecar-metrics")


@pytest.fixture(autouse=True)
def interruptible():
    """A shell that starts the tests in the background has them ignore SIGINT, and what they start would, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def sluice_run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    given = {argument for argument in arguments if argument.startswith("--")}
    free = [part for name in PORTS if (flag := f"--{name}-port") not in given for part in (flag, "0")]
    command = [sys.executable, "-m", "jobs.cli", "run", *arguments, *free]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    )


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def until(condition, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def everything_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(run.pid).children(recursive=True)


def test_a_taken_port_ends_the_run_before_anything_starts():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with sluice_run("--flink-port", port) as run:
            said = run.stdout.read()
    assert run.returncode == 2
    assert f"port {port}, wanted by Flink's REST interface, is already taken; choose another with --flink-port PORT" in said


def test_a_wrong_pipeline_file_is_said(tmp_path):
    (tmp_path / "p.yaml").write_text("pipeline: x\n")
    with sluice_run("--pipeline", str(tmp_path / "p.yaml")) as run:
        said = run.stdout.read()
    assert run.returncode == 2
    assert f"{tmp_path}/p.yaml:1:" in said


@pytest.mark.slow
def test_a_start_that_fails_half_way_names_the_log_and_leaves_nothing(tmp_path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho no such machine\nexit 7\n")
    java.chmod(0o755)
    with sluice_run(JAVA_HOME=str(tmp_path)) as run:
        until(lambda: everything_of(run))
        children = everything_of(run)
        said = run.stdout.read()
    assert run.returncode == 1
    assert "broker did not start: it ended (status 7); log: " in said
    assert "no such machine" in said
    until(lambda: gone(children))


@pytest.mark.kafka
@pytest.mark.flink
@pytest.mark.slow
@pytest.mark.parametrize(("with_signal", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_however_it_ends_while_starting_no_process_stays(with_signal, status):
    with sluice_run() as run:
        said = next(run.stdout)
        assert "broker is up" in said
        children = everything_of(run)
        assert {"java"} < {p.name() for p in children}
        os.kill(run.pid, with_signal)
        said = run.stdout.read()
    assert run.returncode == status
    assert with_signal is signal.SIGKILL or f"stopped by {with_signal.name}" in said
    until(lambda: gone(children))
