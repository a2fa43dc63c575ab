"""Telemetry, windows and pipelines as the autoscaler's tests say them."""

from __future__ import annotations

import json
from typing import Any

from autoscaler.graph.pipeline import SOURCE, Budget, Pipeline, Stage, Topic, VariantSpec
from autoscaler.reactive import Observed, Running
from autoscaler.telemetry import StageTelemetry, StageWindow, parse_record


def stage(name: str = "classify", after: tuple[str, ...] = (SOURCE,), **fields: Any) -> Stage:
    settings: dict[str, Any] = {"operator": "operators.digits:Classifier", "variants": (VariantSpec("cnn", 0.98),), "variant": "cnn", **fields}
    return Stage(name=name, after=after, **settings)


def pipeline(*stages: Stage, slo_ms: float = 100.0, budget: Budget = Budget()) -> Pipeline:
    return Pipeline("digits", slo_ms, Topic("in"), Topic("out"), Topic("dead"), stages or (stage(),), budget=budget)


def record(**fields: Any) -> dict[str, Any]:
    """One second of a stage that runs 1 replica with batches of 8 rows: 2 ms and 0.5 ms a row."""
    quantiles = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    setting = {"variant": "cnn", "version": "1", "batch": 8, "cores": 1, "replicas": 1, "window": 4096}
    setting.update({name: fields.pop(name) for name in ("batch", "replicas", "cores") if name in fields})
    defaults = {
        "pipeline": "digits", "stage": "classify", "sequence": 0, "at_ms": 1_000_000, "interval_s": 1.0, "slo_ms": 100.0,
        "arrivals": 100, "answered": 100, "late": 0, "failed": 0, "expired": 0, "queued": 0, "in_flight": 0,
        "queue_ms": quantiles, "compute_ms": quantiles, "total_ms": quantiles, "batches": 20, "batch_rows": 100,
        "released": {"full": 0, "deadline": 0, "idle": 20, "flush": 0}, "service_time": {"fixed_ms": 2.0, "per_row_ms": 0.5},
        "setting": setting, "replicas_ready": setting["replicas"], "replica_restarts": 0,
        "proxies": {"0": {"received": 100, "in_flight": 0, "waiting": 0}},
    }
    return {**defaults, **fields}


def message(**fields: Any) -> bytes:
    return json.dumps(record(**fields)).encode()


def telemetry(sequence: int = 0, at_s: float = 1000.0, **fields: Any) -> StageTelemetry:
    return parse_record(record(sequence=sequence, at_ms=round(at_s * 1000), **fields))


def window(*records: StageTelemetry, length_s: float = 15.0) -> StageWindow:
    taken = StageWindow(length_s)
    for each in records:
        taken.observe(each, each.at_s)
    return taken


def observed(rate_rps: float, now_s: float = 1000.0, running: Running = Running(1, 8), **fields: Any) -> Observed:
    """One stage, seen for one second."""
    seen = telemetry(at_s=now_s, arrivals=round(rate_rps), replicas=running.replicas, batch=running.batch, **fields)
    return Observed({"classify": window(seen)}, {"classify": running})
