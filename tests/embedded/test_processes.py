"""Real processes, small ones: what the run promises of its children."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.embedded.processes import Child, StartFailed, Supervisor

FORKING = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)"


def python(code: str, name: str = "child", **kwargs) -> Child:
    return Child(name, (sys.executable, "-c", code), **kwargs)


def until(condition, timeout_s: float = 15.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def test_a_child_that_dies_is_started_again_and_said_so(tmp_path):
    said = []
    with Supervisor(tmp_path, said.append) as supervisor:
        supervisor.start(python("import time; time.sleep(600)"))
        first = supervisor.pid("child")
        supervisor.kill("child")
        until(lambda: supervisor.pid("child") not in (None, first))
        until(lambda: len(said) == 2)
    assert said[0].startswith("child ended (signal SIGKILL), starting it again in 0.2 s")
    assert said[1] == "child restarted (restart 1)"


def test_what_a_child_has_started_goes_with_it(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(python(FORKING, restart=False))
        until(lambda: len(family(supervisor.pid("child"))) == 2)
        both = family(supervisor.pid("child"))
        supervisor.kill("child")
        until(lambda: not any(p.is_running() for p in both))


def test_stop_ends_even_a_child_that_ignores_term(tmp_path):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    supervisor = Supervisor(tmp_path)
    supervisor.start(python(stubborn, stop_grace_s=0.3))
    until(lambda: (tmp_path / "child.log").read_text() == "deaf\n")
    process = psutil.Process(supervisor.pid("child"))
    supervisor.stop()
    assert not process.is_running()
    supervisor.stop()


def test_a_start_that_fails_names_child_reason_and_log(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(python("print('no luck'); raise SystemExit(3)", ready=lambda: False, restart=False))
        with pytest.raises(StartFailed) as error:
            supervisor.wait_ready(["child"], 10)
    assert "child did not start: it ended (status 3); log: " in str(error.value)
    assert "no luck" in str(error.value)


def test_a_command_that_is_not_there_is_said(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(Child("child", ("/no/such/command",), restart=False))
        until(lambda: supervisor.pid("child") is None)
        with pytest.raises(StartFailed, match="cannot start /no/such/command"):
            supervisor.wait_ready(["child"], 10)


def test_ranks_stop_in_order(tmp_path):
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open({0!r}, 'a').write({1!r}); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    with Supervisor(tmp_path) as supervisor:
        for name, rank in (("b", 2), ("a", 1)):
            supervisor.start(python(code.format(str(order), name), name, stop_rank=rank))
        until(lambda: all((tmp_path / f"{n}.log").read_text() == "up\n" for n in "ab"))
    assert order.read_text() == "ab"


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_killed_supervisor(tmp_path, with_signal):
    script = (
        "import sys, time; from pathlib import Path; from jobs.embedded.processes import Child, Supervisor\n"
        f"s = Supervisor(Path({str(tmp_path)!r})); s.start(Child('child', (sys.executable, '-c', {FORKING!r})))\n"
        "print(s.pid('child'), flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root) as parent:
        child = int(parent.stdout.readline())
        until(lambda: len(family(child)) == 2)
        everything = family(parent.pid)
        assert len(everything) == 4  # supervisor, watchdog, child, grandchild
        os.kill(parent.pid, with_signal)
    until(lambda: not any(p.is_running() for p in everything))


def test_a_child_beside_the_path_is_nicer_as_a_process_and_as_a_group(tmp_path):
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(python("import time; time.sleep(600)", niceness=5))
        pid = supervisor.pid("child")
        until(lambda: psutil.Process(pid).nice() == 5)
        group = Path(f"/proc/{pid}/autogroup")
        if group.exists():  # a kernel without autogroups has none, and a nice value counts by itself there
            until(lambda: group.read_text().split()[-1] == "5")
