"""What a policy is shown (`policies.policy.State`), from what the stages, the source topic and the job said of themselves.

    rates        of the source, from its offsets                                            (`arrivals`)
    rate         of a stage: rows that arrived in the newest second of its telemetry
    queue        rows that wait in the service and in the proxies, of the newest record
    spent        ms of the SLO that rows had used of late when they reached a stage that reads the source, beyond what the problem leaves for the way
    busy         share of the ready replicas' time that batches took, by the service's own learned times
    violations   share of the rows of the window that were late, expired or failed
    slowness     of a stage, from the service's own learned times and its profile                (`policies.slowness`)
    true_rate, parallelism, lag    of the job, from Flink; lag counts once, at the first stage that reads the source
    fresh        every stage of ours has said something, and the source's offsets were read, within `stale_after_s`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoscaler.control.arrivals import Arrivals
from autoscaler.graph.pipeline import SOURCE, Pipeline
from autoscaler.planner.model import Problem, StageModel
from autoscaler.policies.policy import Pool, StageState, State
from autoscaler.policies.slowness import profiled_ms
from autoscaler.telemetry import StageTelemetry, StageWindow

LEAST_S = 3
"""Seconds of the source's rate that a first decision rests on."""


@dataclass(frozen=True, slots=True)
class VertexSeen:
    """A stage's proxy in Flink. true_rate: rows/s of one subtask that never waits; None = not known."""

    parallelism: int = 1
    true_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """All that is known when a decision is due. pools: of every stage of the problem. vertices: by stage, of those that Flink told of."""

    at_s: float
    arrivals: Arrivals
    windows: Mapping[str, StageWindow]
    pools: Mapping[str, tuple[Pool, ...]]
    vertices: Mapping[str, VertexSeen] = field(default_factory=dict)
    lag: int | None = None
    slowness: Mapping[str, float] = field(default_factory=dict)
    """By stage, where it was measured."""

    def stale(self, stale_after_s: float) -> str | None:
        """What is too old to decide by, in words; None when nothing is."""
        newest_s = self.arrivals.newest_s
        if newest_s is None:
            return "the source's offsets are not known yet"
        if self.at_s - newest_s > stale_after_s:
            return f"the source's offsets are stale, {self.at_s - newest_s:.1f} s old"
        if len(self.arrivals.rates(self.at_s)) < LEAST_S:
            return f"the source's rate is known for less than {LEAST_S} s"
        for name, window in self.windows.items():
            age_s = window.staleness_s(self.at_s)
            if age_s is None:
                return f"no telemetry of {name} yet"
            if age_s > stale_after_s:
                return f"telemetry of {name} is stale, {age_s:.1f} s old"
        return next((f"what runs at {name} is not known" for name, pools in self.pools.items() if not pools), None)


def state(pipeline: Pipeline, problem: Problem, seen: Observation) -> State:
    """Of the problem's stages. The pipeline's SLO is longer than the problem's by what the latter leaves for the way."""
    first = [stage.name for stage in pipeline.stages if SOURCE in stage.after]
    stages = {stage.name: _stage(stage.name, seen, seen.lag or 0 if stage.name in first[:1] else 0) for stage in problem.stages}
    way_ms = pipeline.slo_ms - problem.slo_ms
    spent = [seen.windows[name].spent_ms(seen.at_s) for name in first if name in seen.windows]
    spent_ms = tuple(max(0.0, one - way_ms) for one in spent if one is not None)
    return State(seen.at_s, seen.arrivals.rates(seen.at_s), stages, spent_ms, seen.arrivals.dispersion(seen.at_s))


def _stage(name: str, seen: Observation, lag: int) -> StageState:
    vertex, window = seen.vertices.get(name, VertexSeen()), seen.windows.get(name)
    shown = StageState(seen.pools[name], vertex.parallelism, true_rate=vertex.true_rate, lag=lag)
    latest = window.latest if window is not None else None
    if window is None or latest is None:
        return shown  # at a foreign endpoint
    return StageState(
        seen.pools[name], vertex.parallelism, latest.arrival_rps, vertex.true_rate, latest.backlog_rows, lag, latest.busy_share or 0.0, None,
        window.violation_share(seen.at_s), seen.slowness.get(name, 1.0))


def ratio(stage: StageModel, pools: tuple[Pool, ...], latest: StageTelemetry | None) -> float | None:
    """Measured over profiled ms of a batch, of the variant with most replicas; None where no batch tells."""
    ready = [pool for pool in pools if pool.ready]
    if latest is None or latest.service_time is None or not latest.batches or not ready:
        return None
    rows = latest.batch_rows / latest.batches
    most = max(ready, key=lambda pool: pool.replicas)
    return latest.service_time.batch_ms(rows) / profiled_ms(stage, most.option, rows)


def summary(window: StageWindow, now_s: float) -> Mapping[str, object]:
    """The window in a record: figures that explain a decision but that no policy reads."""
    total, queue, latest = window.worst_total_ms(now_s), window.worst_queue_ms(now_s), window.latest
    learned = latest.service_time if latest is not None else None
    return {
        "arrival_rps": window.arrival_rps(now_s), "peak_arrival_rps": window.peak_arrival_rps(now_s), "answered_rps": window.answered_rps(now_s),
        "total_ms": _quantiles(total), "queue_ms": _quantiles(queue), "compute_ms": _quantiles(latest.compute_ms if latest else None),
        "service_time": None if learned is None else {"fixed_ms": learned.fixed_ms, "per_row_ms": learned.per_row_ms},
        "released": {name: getattr(window.released(now_s), name) for name in ("full", "deadline", "idle", "flush")},
        "batch_rows": window.mean_batch_rows(now_s), "rps_by_concurrency": {str(rows): rate for rows, rate in window.by_concurrency(now_s).items()},
        "telemetry": {outcome.value: count for outcome, count in window.counts.items() if count} | {"missing": window.missing},
    }


def _quantiles(quantiles: object) -> Sequence[float] | None:
    return None if quantiles is None else [getattr(quantiles, name) for name in ("p50", "p95", "p99")]
