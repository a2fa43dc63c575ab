"""Stopping a job with a savepoint, and starting one from where another stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from jobs.embedded import latest, paths
from jobs.embedded.rest import FINAL_STATES, FlinkRest, Job


class LifecycleError(Exception):
    """The job, or what it should be started from, is not there or not clear."""


def running_job(rest: FlinkRest, wanted: str | None) -> Job:
    """The running job of that id or name; without one, the only one that runs."""
    running = [job for job in rest.jobs() if job.state not in FINAL_STATES]
    fitting = [job for job in running if wanted in (None, job.id, job.name)]
    if len(fitting) == 1:
        return fitting[0]
    told = ", ".join(f"{job.id} ({job.name})" for job in running) or "none"
    wrong = f"no running job {wanted}" if not fitting else "more than one job runs; name one with --job"
    raise LifecycleError(f"{wrong}; running: {told}")


def stop(rest: FlinkRest, job: str | None, directory: str | None, *, drain: bool = False) -> tuple[Job, str]:
    """Stops it with a savepoint; the job and where the savepoint lies."""
    found = running_job(rest, job)
    location = rest.stop_with_savepoint(found.id, directory, drain=drain)
    rest.wait_ended(found.id)
    return found, location


def snapshot(from_where: str | None, directories: Sequence[str], *, fresh: bool = False) -> str | None:
    """What to start from: what was named, else the newest complete one; None only for a fresh start that was asked for."""
    if fresh:
        if from_where is not None:
            raise LifecycleError("--fresh and --from contradict each other")
        return None
    if from_where is not None:
        local = _local(from_where)
        if local is not None and not (local / latest.METADATA).is_file():
            raise LifecycleError(f"{from_where} is no complete checkpoint or savepoint: it has no {latest.METADATA}")
        return from_where
    if not directories:
        raise LifecycleError("say where to start from: --from SNAPSHOT, --checkpoints DIRECTORY, or --fresh for the topic's beginning")
    local_ones = [local for d in directories if (local := _local(d)) is not None]
    found = latest.latest(*local_ones)
    if found is None:
        raise LifecycleError(
            f"no complete checkpoint or savepoint in {', '.join(directories)}; name one with --from, or say --fresh "
            "to start without state, from the topic's beginning"
        )
    return found.resolve().as_uri()


def flink_run(flink: str, from_where: str | None, arguments: Sequence[str]) -> int:
    """`flink run -d -py jobs/pipeline.py` against a cluster elsewhere; its exit status."""
    home = paths.flink_home()
    command = [str(home / "bin" / "flink"), "run", "-d", "-m", flink]
    if from_where is not None:
        command += ["-s", from_where]
    command += ["-pyclientexec", sys.executable, "-pyexec", sys.executable, "-py", str(paths.JOB_FILE), *arguments]
    search = os.pathsep.join(p for p in (str(paths.ROOT), os.environ.get("PYTHONPATH")) if p)
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": search}, check=False).returncode


def _local(place: str) -> Path | None:
    """The path of a place on this machine's file system, None of one elsewhere."""
    parsed = urlparse(place)
    if parsed.scheme in ("", "file"):
        return Path(unquote(parsed.path) if parsed.scheme else place)
    return None
