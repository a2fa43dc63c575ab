"""The few calls of Flink's REST interface that Sluice makes."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POLL_S = 0.1
CHANGE_TIMEOUT_S = 30.0
"""Of a call that changes something: given up earlier, nobody knows whether it was done, and a busy JobManager takes its time."""
ELECTING = 503
"""What the JobManager answers while it has no leader; nothing was done, and Flink's own client asks again too."""
FINAL_STATES = frozenset({"FINISHED", "CANCELED", "FAILED"})


class RestError(Exception):
    """Flink did not answer, or answered with an error. status: of HTTP, None when there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Vertex:
    id: str
    name: str
    parallelism: int
    status: str


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    name: str
    state: str


class FlinkRest:
    """address: host:port, or a URL. timeout_s: of a call that only asks. An election of the JobManager's leader is waited through for as long."""

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self.url = address.rstrip("/") if "://" in address else f"http://{address}"
        self.timeout_s = timeout_s

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)

    def overview(self) -> dict[str, Any]:
        """Numbers of TaskManagers, slots and jobs."""
        return self.get("/overview")

    def jobs(self) -> list[Job]:
        return [Job(j["jid"], j["name"], j["state"]) for j in self.get("/jobs/overview")["jobs"]]

    def state(self, job_id: str) -> str:
        return self.get(f"/jobs/{job_id}/status")["status"]

    def is_running(self, job_id: str) -> bool:
        """Whether every task of the job runs."""
        job = self.get(f"/jobs/{job_id}")
        vertices = job["vertices"]
        return job["state"] == "RUNNING" and bool(vertices) and all(v["status"] == "RUNNING" for v in vertices)

    def wait_running(self, job_id: str, timeout_s: float = 60.0) -> None:
        """Returns once every task runs; RestError when the job ended or time ran out. No answer is waited through."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                if self.is_running(job_id):
                    return
                state = self.state(job_id)
            except RestError as error:
                state = str(error)
            if state in FINAL_STATES:
                raise RestError(f"job {job_id} is {state}: {self.root_exception(job_id)}")
            if time.monotonic() > until:
                raise RestError(f"job {job_id} does not run after {timeout_s:.0f} s: {state}")
            time.sleep(POLL_S)

    def root_exception(self, job_id: str) -> str:
        """The first lines of why it last failed; empty when it did not."""
        entries = self.get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return "\n".join(entries[0]["stacktrace"].splitlines()[:8]) if entries else ""

    def restarts(self, job_id: str) -> int:
        """How often the job was restarted since its JobManager began."""
        found = self.get(f"/jobs/{job_id}/metrics?get=numRestarts")
        return int(float(found[0]["value"])) if found else 0

    def vertices(self, job_id: str) -> list[Vertex]:
        return [Vertex(v["id"], v["name"], v["parallelism"], v["status"]) for v in self.get(f"/jobs/{job_id}")["vertices"]]

    def requirements(self, job_id: str) -> dict[str, tuple[int, int]]:
        """Lower and upper bound of each vertex's parallelism."""
        found = self.get(f"/jobs/{job_id}/resource-requirements")
        return {v: (p["parallelism"]["lowerBound"], p["parallelism"]["upperBound"]) for v, p in found.items()}

    def require(self, job_id: str, bounds: Mapping[str, tuple[int, int]]) -> None:
        """Changes the parallelism bounds of the named vertices, the others stay; Flink rescales in its own time."""
        wanted = {**self.requirements(job_id), **bounds}
        body = {v: {"parallelism": {"lowerBound": low, "upperBound": high}} for v, (low, high) in wanted.items()}
        self._call("PUT", f"/jobs/{job_id}/resource-requirements", body)

    def checkpoints(self, job_id: str) -> dict[str, Any]:
        """Counts, and under `latest` the latest completed, failed, savepoint and restored one."""
        return self.get(f"/jobs/{job_id}/checkpoints")

    def metrics(self, job_id: str, vertex_id: str, *names: str) -> dict[str, float]:
        """Sums over the subtasks of a vertex; absent ones are left out."""
        found = self.get(f"/jobs/{job_id}/vertices/{vertex_id}/subtasks/metrics?get={','.join(names)}&agg=sum")
        return {m["id"]: m["sum"] for m in found}

    def cancel(self, job_id: str) -> None:
        self._call("PATCH", f"/jobs/{job_id}?mode=cancel", None)

    def wait_ended(self, job_id: str, timeout_s: float = 60.0) -> str:
        until = time.monotonic() + timeout_s
        while (state := self.state(job_id)) not in FINAL_STATES:
            if time.monotonic() > until:
                raise RestError(f"job {job_id} is still {state} after {timeout_s:.0f} s")
            time.sleep(POLL_S)
        return state

    def stop_with_savepoint(self, job_id: str, directory: str | None = None, *, drain: bool = False, timeout_s: float = 120.0) -> str:
        """Stops the job and returns where the savepoint lies."""
        body = {"drain": drain, **({"targetDirectory": directory} if directory else {})}
        return self._savepoint(job_id, "stop", body, timeout_s)

    def savepoint(self, job_id: str, directory: str | None = None, timeout_s: float = 120.0) -> str:
        """Takes a savepoint while the job goes on."""
        body = {"cancel-job": False, **({"target-directory": directory} if directory else {})}
        return self._savepoint(job_id, "savepoints", body, timeout_s)

    def _savepoint(self, job_id: str, call: str, body: Mapping[str, object], timeout_s: float) -> str:
        trigger = self._call("POST", f"/jobs/{job_id}/{call}", body)["request-id"]
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            done = self.get(f"/jobs/{job_id}/savepoints/{trigger}")
            if done["status"]["id"] == "COMPLETED":
                operation = done["operation"]
                if "location" not in operation:
                    cause = operation["failure-cause"]["stack-trace"].splitlines()[0]
                    raise RestError(f"the savepoint of job {job_id} failed: {cause}")
                return operation["location"]
            time.sleep(POLL_S)
        raise RestError(f"the savepoint of job {job_id} took longer than {timeout_s:.0f} s")

    def _call(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        timeout_s = self.timeout_s if method == "GET" else max(self.timeout_s, CHANGE_TIMEOUT_S)
        until = time.monotonic() + timeout_s
        while True:
            try:
                with urllib.request.urlopen(request, timeout=timeout_s) as response:
                    text = response.read()
                return json.loads(text) if text else {}
            except urllib.error.HTTPError as error:
                detail = error.read().decode(errors="replace")
                if error.code != ELECTING or time.monotonic() > until:
                    raise RestError(f"{method} {self.url}{path}: {error.code}: {_first_error(detail)}", error.code) from error
            except (OSError, TimeoutError) as error:
                raise RestError(f"Flink at {self.url} does not answer: {error}") from error
            time.sleep(POLL_S)


def _first_error(detail: str) -> str:
    try:
        errors = json.loads(detail)["errors"]
    except (ValueError, KeyError, TypeError):
        return detail[:500]
    return "; ".join(e.splitlines()[0] if "\n" in e else e[:500] for e in errors if e) or detail[:500]
