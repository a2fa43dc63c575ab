"""The sidecar's metrics for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from autoscaler.control.hindsight import Outcome

STAGE = ("pipeline", "stage")


class SidecarMetrics:
    """In a registry of its own, so that a process may hold several (tests do)."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "sluice_autoscaler_decisions", "Decisions taken, by what they did to the stage.", (*STAGE, "action"), registry=self.registry)
        self._records = Counter(
            "sluice_autoscaler_telemetry_records", "Telemetry records, by what became of them.", ("outcome",), registry=self.registry)
        self._age = Gauge(
            "sluice_autoscaler_telemetry_age_seconds", "Age of the newest telemetry record.", STAGE, registry=self.registry)
        self._replicas = Gauge("sluice_autoscaler_desired_replicas", "Replicas the last decision asks for.", STAGE, registry=self.registry)
        self._batch = Gauge("sluice_autoscaler_desired_batch_rows", "Rows per batch the last decision asks for.", STAGE, registry=self.registry)
        self._window = Gauge("sluice_autoscaler_window_rows", "Rows that a proxy may have in flight, as chosen last.", STAGE, registry=self.registry)
        self._failures = Counter(
            "sluice_autoscaler_actuation_failures", "Changes the service did not confirm.", STAGE, registry=self.registry)
        self._sessions = Counter(
            "sluice_autoscaler_kafka_sessions", "Times the connection to Kafka was built up.", registry=self.registry)
        self._took = Histogram(
            "sluice_autoscaler_decision_seconds", "From what is known to the plan.", ("pipeline",), registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0))
        self._undone = Counter(
            "sluice_autoscaler_changes_undone", "Changes that did not come about or did not help, and were taken back.", STAGE, registry=self.registry)
        self._stall = Gauge(
            "sluice_autoscaler_rescale_stall_seconds", "How long the job stood still for the last rescale.", ("pipeline",), registry=self.registry)
        self._feasible = Gauge(
            "sluice_autoscaler_plan_feasible", "1 when the last decision found a plan for all that is asked, 0 when it gives something up.",
            ("pipeline",), registry=self.registry)
        self._forecasts = Counter(
            "sluice_autoscaler_forecasts", "Forecasts whose time is over, by what came: more than they said (under), as much, far less (over).",
            ("pipeline", "outcome"), registry=self.registry)
        self._offsets_age = Gauge(
            "sluice_autoscaler_offsets_age_seconds", "Age of the newest end offsets of the source.", ("pipeline",), registry=self.registry)
        build = Gauge("sluice_build_info", "1, with the version that runs.", ("component", "version"), registry=self.registry)
        build.labels("autoscaler", _version()).set(1)

    def serve(self, port: int, address: str = "127.0.0.1") -> None:
        """Answers GET on that port, from a thread, while the process lives. OSError when the port is taken."""
        start_http_server(port, address, self.registry)

    def prepare(self, stage: str, newest_s: Callable[[], float | None]) -> None:
        """Shows a stage before anything happened to it. newest_s: Unix time of its newest record; its age is taken at each scrape."""
        self._failures.labels(self._pipeline, stage)
        started_s = time.time()
        self._age.labels(self._pipeline, stage).set_function(lambda: max(0.0, time.time() - (newest_s() or started_s)))

    def watch_source(self, newest_s: Callable[[], float | None]) -> None:
        """newest_s: Unix time at which the end offsets of the source were read last."""
        started_s = time.time()
        self._offsets_age.labels(self._pipeline).set_function(lambda: max(0.0, time.time() - (newest_s() or started_s)))

    def record(self, outcome: str, count: int = 1) -> None:
        self._records.labels(outcome).inc(count)

    def decision(self, stage: str, action: str) -> None:
        self._decisions.labels(self._pipeline, stage, action).inc()

    def desired(self, stage: str, replicas: int, batch: int) -> None:
        self._replicas.labels(self._pipeline, stage).set(replicas)
        self._batch.labels(self._pipeline, stage).set(batch)

    def window(self, stage: str, rows: int) -> None:
        self._window.labels(self._pipeline, stage).set(rows)

    def actuation_failure(self, stage: str) -> None:
        self._failures.labels(self._pipeline, stage).inc()

    def took(self, seconds: float) -> None:
        self._took.labels(self._pipeline).observe(seconds)

    def undone(self, stage: str) -> None:
        self._undone.labels(self._pipeline, stage).inc()

    def feasible(self, found: bool | None) -> None:
        """None: it is not known, and nothing is shown."""
        if found is None:
            self._feasible.remove(self._pipeline)
        else:
            self._feasible.labels(self._pipeline).set(found)

    def forecast(self, outcome: Outcome) -> None:
        self._forecasts.labels(self._pipeline, outcome.value).inc()

    def stalled(self, seconds: float) -> None:
        self._stall.labels(self._pipeline).set(seconds)

    def kafka_session(self) -> None:
        self._sessions.inc()


def _version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "unknown"
