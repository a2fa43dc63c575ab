"""Rules for all tests: what may be skipped, and that an unexplained skip fails the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")  # how long an example takes says more of the machine's neighbours than of the code

SHARED = Path(__file__).resolve().parents[2] / "shared"

ALLOWED_SKIPS = (
    "needs ../shared",  # the shared data sets, which a clone elsewhere does not have
    "needs a GPU",  # a CUDA device
    "needs `make peers`",  # other servers and clients, each in an environment of its own
    "needs a cgroup",  # a cgroup that this user may write, for limits on replicas
)
"""The only reasons to skip a test; a reason may go on after these words."""

_unexplained: list[str] = []


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of shared data sets; the test is skipped where there is none."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of every report, those of other worker processes too."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _look_at(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _look_at(report.nodeid, report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexplained and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unexplained:
        terminalreporter.section("skips that are not allowed", red=True)
        for line in _unexplained:
            terminalreporter.line(line)


def _look_at(nodeid: str, longrepr: object) -> None:
    reason = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")
    if not reason.startswith(ALLOWED_SKIPS):
        _unexplained.append(f"{nodeid}: {reason!r} is not among the reasons in tests/conftest.py")
