"""A broker, a Flink cluster, and on demand the service and the sidecar, for benches that run several jobs over the same topics."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from bench.report import progress
from jobs.embedded import broker, cluster, paths, ports
from jobs.embedded.processes import BESIDE_THE_PATH, Child, Supervisor
from jobs.embedded.rest import FlinkRest
from jobs.embedded.run import TELEMETRY_TOPIC, is_ready

READY_S = 90.0
SLUICE = (sys.executable, "-m", "jobs.cli")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Host and port of the service's gRPC and HTTP."""

    grpc: str
    http: str


@dataclass
class Rig:
    """What runs. directory: everything that it writes."""

    directory: Path
    broker: broker.BrokerConfig
    cluster: cluster.ClusterConfig
    supervisor: Supervisor
    rest: FlinkRest

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap_servers

    def topics(self, *names: str) -> None:
        """Makes them, two partitions each, stamped with the time of appending."""
        broker.create_topics(self.bootstrap, [broker.NewTopic(name, 2, broker.APPEND_TIME) for name in names])

    def delete_topics(self, *names: str) -> None:
        from kafka import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics(list(names))
        finally:
            admin.close()

    @contextlib.contextmanager
    def operators(self, pipeline: Path) -> Iterator[Addresses]:
        """The operator service alone as `make run` starts it, for the block."""
        grpc, http, metrics = ports.free_ports(3)
        found = Addresses(f"{ports.HOST}:{grpc}", f"{ports.HOST}:{http}")
        self.supervisor.start(Child("service", (*SLUICE, "operator", "serve", str(pipeline), "--bootstrap-servers", self.bootstrap, "--grpc-port",
                                                str(grpc), "--http-port", str(http), "--metrics-port", str(metrics)),
                                    cwd=paths.ROOT, ready=lambda: is_ready(found.http)))
        try:
            self.supervisor.wait_ready(["service"], READY_S)
            yield found
        finally:
            self.supervisor.stop_child("service")

    @contextlib.contextmanager
    def service(self, pipeline: Path) -> Iterator[str]:
        """The operator service and the sidecar as `make run` starts them, for the block; gives the service's gRPC address."""
        with self.operators(pipeline) as found, self.sidecar(pipeline, found.http):
            yield found.grpc

    @contextlib.contextmanager
    def sidecar(self, pipeline: Path, http: str, *arguments: str, command: Sequence[str] = (*SLUICE, "autoscaler")) -> Iterator[None]:
        """The autoscaler sidecar for a service at that HTTP address, as `make run` starts it but for the arguments, for the block."""
        (metrics,) = ports.free_ports(1)
        self.supervisor.start(Child("sidecar", (*command, "run", str(pipeline), "--bootstrap-servers", self.bootstrap, "--service-http", http,
                                                "--metrics-port", str(metrics), *arguments), cwd=paths.ROOT, niceness=BESIDE_THE_PATH))
        try:
            yield
        finally:
            self.supervisor.stop_child("sidecar")

    @contextlib.contextmanager
    def job(self, file: Path, arguments: list[str], settings: Mapping[str, str] | None = None) -> Iterator[str]:
        """A job submitted by `flink run -py`, cancelled at the end of the block."""
        job_id = cluster.submit(replace(self.cluster, job_file=file), arguments, settings=settings)
        try:
            self.rest.wait_running(job_id, READY_S)
            yield job_id
        finally:
            self.rest.cancel(job_id)
            self.rest.wait_ended(job_id)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far by process, children that they started apart (`service/replica`)."""
        spent: dict[str, float] = {}
        for state in self.supervisor.states():
            if state.pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(state.pid)
                spent[state.name] = _cpu(process)
                for child in process.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        name = f"{state.name}/{'replica' if state.name == 'service' else 'worker'}"
                        spent[name] = spent.get(name, 0.0) + _cpu(child)
        return spent

    def rss_mb(self) -> dict[str, float]:
        """Resident memory by process, children included under their parents' names."""
        found: dict[str, float] = {}
        for state in self.supervisor.states():
            if state.pid is not None:
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(state.pid)
                    found[state.name] = round(process.memory_info().rss / 2**20, 1)
                    for number, child in enumerate(process.children(recursive=True)):
                        found[f"{state.name}/{number}"] = round(child.memory_info().rss / 2**20, 1)
        return found


@contextlib.contextmanager
def rig(**cluster_settings) -> Iterator[Rig]:
    """Broker and cluster up, on free ports; gone after the block, its directory too, but for the logs of a run that failed."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    kafka, controller, zookeeper, rest = ports.free_ports(4)
    broker_config = broker.BrokerConfig(directory / "broker", kafka, controller)
    cluster_config = cluster.ClusterConfig(directory / "flink", rest, zookeeper, 0, **cluster_settings)
    written = [directory]
    try:
        with Supervisor(directory / "logs") as supervisor:
            broker.prepare(broker_config)
            cluster.prepare(cluster_config)
            children = [broker.child(broker_config), *cluster.children(cluster_config)]
            for child in children:
                supervisor.start(child)
            supervisor.wait_ready([child.name for child in children], READY_S)
            broker.create_topics(broker_config.bootstrap_servers, [broker.NewTopic(TELEMETRY_TOPIC, 1)])
            yield Rig(directory, broker_config, cluster_config, supervisor, FlinkRest(cluster_config.rest_address))
    except Exception:
        written = [broker_config.directory, cluster_config.directory]
        progress(f"failed; the logs of what ran are in {directory / 'logs'}")
        raise
    finally:
        for path in written:
            shutil.rmtree(path, ignore_errors=True)


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0.0) for name in after}


def asked(http: str, stage: str, change: Mapping[str, object] | None = None) -> dict[str, Any]:
    """What the service at that HTTP address says of a stage, after the change if there is one."""
    request = urllib.request.Request(f"http://{http}/sluice/v1/stages/{stage}", method="GET" if change is None else "PATCH",
                                     headers={"Content-Type": "application/json"}, data=None if change is None else json.dumps(change).encode())
    with urllib.request.urlopen(request, timeout=5) as response:
        found: dict[str, Any] = json.load(response)
    return found


def until(condition: Callable[[], bool], limit_s: float, look_s: float, what: str) -> None:
    """Returns once the condition is met, looked at every look_s; AssertionError where it is not within limit_s."""
    until_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until_s:
            raise AssertionError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(look_s)


def pause(seconds: float) -> None:
    """A measured interval, not a wait for anything."""
    time.sleep(seconds)


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return spent.user + spent.system
