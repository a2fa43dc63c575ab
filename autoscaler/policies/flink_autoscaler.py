"""Flink's job autoscaler (DS2): each stage a job vertex, as many subtasks as keep it busy to the target share of its time.

    p        subtasks now                       rate   records/s that arrive, mean over the metrics window, by the graph from the source's
    busy     share of time, mean over the window
    TPR      true processing rate of the vertex = measured rate / busy (a proxy's: p * true_rate), without load infinite  (DS2, section 3)
    lag      records behind at the source, now
    need(u)  round(lag / catch_up + rate * restart / catch_up + rate / u), records/s      (catch_up 0: the last term alone)
    factor   need(target) / TPR, within 1 - down_factor .. 1 + up_factor
    p'       ceil(factor * p), within min(p, least) .. max(p, most)
    outside  TPR < need(max) less its restart term, or TPR > need(min); while lag / rate > backlog_lag_s: max 1, min 0 (no step down)
    down     waits for `scale_down_interval_s` after it was first asked for, then the most asked for in that time; forgotten once not asked
    act      only if a vertex that changes is outside, and then all that change, in one restart of the job
    silent   for `stabilization_s` after each change nothing is measured, and nothing is decided until a whole window was

Vertex.REPLICA: the operator runs inside Flink, as without an operator service: a subtask is a replica with its option as it runs.
Vertex.PROXY: replicas stay; the subtasks are the proxy's, and `Target.parallelism` is set.
A proxy whose true rate is not known takes no step, as the released code does.

Defaults as documented (Flink Kubernetes Operator 1.15, job.autoscaler.*): utilization.target 0.7, .min and .max target -+ 0.3,
catch-up.duration 30 min, restart.time 5 min, metrics.window 15 min, stabilization.interval 5 min, scale-up.max-factor 100000,
scale-down.max-factor 0.6, scale-down.interval 1 h, backlog-processing.lag-threshold 5 min, vertex.max-parallelism 200;
autoscaler.standalone.control-loop.interval 10 s. Left out, off by default: observed scalability, detection of ineffective scaling, quotas.
Partition alignment of sources is left to the source, which is no stage.
Source: Kalavri et al., "Three steps is all you need" (OSDI 2018); the operator's documentation and released code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from autoscaler.planner.model import Problem, Share, StageModel
from autoscaler.policies.bounds import within
from autoscaler.policies.hpa_behavior import spread
from autoscaler.policies.observed import at_work
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import lightest
from autoscaler.policies.stage_rates import gains

NEAR = 1e-9


class Vertex(StrEnum):
    """What a subtask is."""

    REPLICA = "replica"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. rates, busy, true_rates: by stage; true_rates: records/s of one subtask."""

    at_s: float
    source_rate: float
    lag: float
    rates: Mapping[str, float]
    busy: Mapping[str, float]
    true_rates: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class FlinkMemory:
    """changed_s: last rescale, or the first look. samples: of the window. down: by stage, (at_s, subtasks) asked for, oldest first."""

    changed_s: float
    samples: tuple[Sample, ...] = ()
    down: Mapping[str, tuple[tuple[float, int], ...]] | None = None


@dataclass(frozen=True, slots=True)
class FlinkAutoscaler:
    """Seconds and shares, by the symbols of the module; most: job.autoscaler.vertex.max-parallelism, a stage's own most beside it."""

    problem: Problem
    interval_s: float = 10.0
    vertex: Vertex = Vertex.REPLICA
    target: float = 0.7
    boundary: float = 0.3
    catch_up_s: float = 1800.0
    restart_s: float = 300.0
    window_s: float = 900.0
    stabilization_s: float = 300.0
    up_factor: float = 100000.0
    down_factor: float = 0.6
    scale_down_interval_s: float = 3600.0
    backlog_lag_s: float = 300.0
    most: int = 200
    name: ClassVar[str] = "flink_autoscaler"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        known = memory if isinstance(memory, FlinkMemory) else FlinkMemory(state.now_s)
        measured_s = state.now_s - known.changed_s - self.stabilization_s
        if measured_s < 0:
            return Decision({}, known, f"stabilising, {-measured_s:.0f} s to go")
        samples = (*(old for old in known.samples if old.at_s > state.now_s - self.window_s), _sample(self.problem, state))
        known = replace(known, samples=samples)
        if measured_s < self.window_s:
            return Decision({}, known, f"measuring, {self.window_s - measured_s:.0f} s of the window to go")
        return self._decided(state, known)

    def _decided(self, state: State, known: FlinkMemory) -> Decision:
        means = _means(known.samples)
        variants = {stage.name: lightest(stage).variant for stage in self.problem.stages}
        variants |= {name: share.option.variant for name, share in at_work(self.problem, state).items()}
        at_each = gains(self.problem, variants)
        changes, outside, down = {}, False, {}
        for stage in self.problem.stages:
            now = self._subtasks(stage, state)
            load = _Load(means.source_rate * at_each[stage.name], means.lag * at_each[stage.name])
            capacity = self._capacity(means, stage.name, now)
            if capacity is None or not now:
                continue
            wished = self._wished(stage, now, load, capacity)
            if wished < now:
                down[stage.name] = (*((known.down or {}).get(stage.name, ())), (state.now_s, wished))
                if state.now_s - down[stage.name][0][0] < self.scale_down_interval_s - NEAR:
                    continue
                wished = max(count for at_s, count in down[stage.name] if at_s >= state.now_s - self.scale_down_interval_s - NEAR)
            if wished != now:
                changes[stage.name] = wished
                outside |= self._outside(load, capacity)
        if not changes or not outside:
            words = "within the bounds of utilisation" if changes else "as many subtasks as the load asks for, or a step down that waits"
            return Decision({}, replace(known, down=down), words)
        return Decision(self._targets(state, changes), FlinkMemory(state.now_s),
                        "; ".join(f"{name} to {count} subtasks" for name, count in changes.items()))

    def _wished(self, stage: StageModel, now: int, load: _Load, capacity: float) -> int:
        factor = min(max(self._need(load, self.target, restart=True) / capacity, 1 - self.down_factor), 1 + self.up_factor)
        most = self.most if self.vertex is Vertex.PROXY else min(self.most, stage.most)
        least = 1 if self.vertex is Vertex.PROXY else stage.least
        return min(max(math.ceil(factor * now - NEAR), min(now, least)), max(now, most))

    def _need(self, load: _Load, utilization: float, *, restart: bool) -> float:
        """Records/s. Infinite at utilisation 0."""
        if utilization <= 0:
            return math.inf
        if not self.catch_up_s:
            return float(round(load.rate / utilization))
        after_restart = load.rate * self.restart_s / self.catch_up_s if restart else 0.0
        return float(round(load.lag / self.catch_up_s + after_restart + load.rate / utilization))

    def _outside(self, load: _Load, capacity: float) -> bool:
        backlog = load.lag > self.backlog_lag_s * load.rate
        high, low = (1.0, 0.0) if backlog else (min(1.0, self.target + self.boundary), max(0.0, self.target - self.boundary))
        return capacity < self._need(load, high, restart=False) or capacity > self._need(load, low, restart=True)

    def _capacity(self, means: Sample, name: str, subtasks: int) -> float | None:
        """True processing rate of the vertex, records/s; None while it is not known."""
        if self.vertex is Vertex.PROXY:
            true_rate = means.true_rates[name]
            return None if true_rate is None else true_rate * subtasks
        return means.rates[name] / means.busy[name] if means.rates[name] > 0 and means.busy[name] > 0 else math.inf

    def _subtasks(self, stage: StageModel, state: State) -> int:
        seen = state.stages[stage.name]
        return seen.parallelism if self.vertex is Vertex.PROXY else sum(pool.replicas for pool in seen.pools)

    def _targets(self, state: State, changes: Mapping[str, int]) -> dict[str, Target]:
        runs = running(self.problem, state)
        if self.vertex is Vertex.PROXY:
            return {name: Target(runs[name], parallelism=count) for name, count in changes.items()}
        wanted: dict[str, tuple[Share, ...]] = {
            name: spread(state.stages[name].pools, count, lightest(self.problem.stage(name))) for name, count in changes.items()}
        granted = within(self.problem, wanted, runs)
        return {name: Target(shares, parallelism=max(1, sum(share.replicas for share in shares))) for name, shares in granted.items()
                if name in changes or shares != runs[name]}


@dataclass(frozen=True, slots=True)
class _Load:
    """Records/s, and records behind, at one stage."""

    rate: float
    lag: float


def _sample(problem: Problem, state: State) -> Sample:
    seen = {stage.name: state.stages[stage.name] for stage in problem.stages}
    return Sample(state.now_s, state.rates[-1] if state.rates else 0.0, float(sum(stage.lag for stage in seen.values())),
                  {name: stage.rate for name, stage in seen.items()}, {name: stage.busy for name, stage in seen.items()},
                  {name: stage.true_rate for name, stage in seen.items()})


def _means(samples: tuple[Sample, ...]) -> Sample:
    """Over the window; the lag of the last look."""
    last = samples[-1]
    true_rates: dict[str, float | None] = {}
    for name in last.rates:
        known = [rate for sample in samples if (rate := sample.true_rates[name]) is not None]
        true_rates[name] = sum(known) / len(known) if known else None
    return Sample(last.at_s, sum(sample.source_rate for sample in samples) / len(samples), last.lag,
                  {name: sum(sample.rates[name] for sample in samples) / len(samples) for name in last.rates},
                  {name: sum(sample.busy[name] for sample in samples) / len(samples) for name in last.busy}, true_rates)
