"""Fewest replicas, then smallest batch, that carry each stage's load, from what the stages said of themselves.

    lam     rows/s, highest rate of any record in the window                          arrivals / interval
    q       rows waiting now, in the service and in the proxies (0 while replicas load: they cannot drain it sooner by being more)
    T       s, catch-up time
    need    rows/s            = lam + q / T
    held    rows/s            = max of need over the stabilisation interval
    l(b)    ms, batch of b rows on one replica = fixed + per_row * b, learned by the service
    mu(b)   rows/s of one replica = b / l(b)
    rho     target utilisation, 0..1
    limit   ms a batch may take = half of the stage's share of the SLO; the share is SLO / stages on the longest path through it

    choose (n, b), smallest n first, then smallest b
        n * mu(b) * rho >= held                     (capacity)
        l(b) <= limit                               (latency)
        min <= n <= max, b <= batch.max             (file)
        sum over stages of n, n * cores <= budget   (budget)

Up: at once, when what runs does not meet (capacity). It takes nothing away, and a further replica comes with the largest batch that
meets (latency): the service learns l(b) only from batches it runs, so one that holds them small would never learn what larger ones
save. Down: only in replicas, only to what carries (1 + SLACK) * held, and only after a whole interval without a gap or a
step up, so with the maximum of it. b stays as it is: a bound on the batch costs nothing while few rows come, and one that is too low
costs a queue when many do. A batch too long for (latency) in every
record of a full window is shortened at once. Replicas for a stage that needs more come from the budget nobody uses; what another
stage holds it keeps until it may go down. With stale telemetry, or before anything is known, a stage is left as it is.

O(stages * replicas * log batch). Ignores queueing delay, so rho must leave headroom; takes every row to be alike and the rate to
be what arrives, which a job held back from further up hides. Replicas before batch because a batch changes in place and at once, while
a replica loads for seconds and costs its cores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from autoscaler.graph.pipeline import SOURCE, Pipeline, Stage
from autoscaler.telemetry import LearnedTime, StageWindow

BATCH_FLOOR = 8  # rows
SLACK = 0.2  # a lower setting must carry this much more than the load: the width of the hysteresis
FULL_WINDOW = 0.8  # share of the window's length its records must span to condemn a batch size


@dataclass(frozen=True, slots=True)
class ReactiveSettings:
    """Seconds and shares. window_s: of telemetry looked at. stabilization_s: nothing goes down before. catch_up_s: to drain a
    backlog. stale_after_s: telemetry older than this says nothing. utilization: target. slo_share: of a stage's share for one batch."""

    window_s: float = 15.0
    stabilization_s: float = 30.0
    catch_up_s: float = 10.0
    stale_after_s: float = 5.0
    utilization: float = 0.7
    slo_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Running:
    """The part of a stage's setting the rule reads and writes. cores: of one replica, never changed here."""

    replicas: int
    batch: int
    cores: float = 1


class Action(StrEnum):
    """What happens to a stage. WAIT: less would do, the interval is not over. SHORT: more is needed than may be had. HOLD: not known."""

    KEEP = "keep"
    UP = "up"
    DOWN = "down"
    WAIT = "wait"
    SHORT = "short"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one stage was judged by; symbols of the module. staleness_s is None without any telemetry, the rest None when not known."""

    staleness_s: float | None = None
    arrival_rps: float | None = None
    peak_arrival_rps: float | None = None
    backlog_rows: int | None = None
    need_rps: float | None = None
    held_need_rps: float | None = None
    service_time: LearnedTime | None = None
    batch_limit_ms: float | None = None
    total_p99_ms: float | None = None
    replicas_ready: int | None = None


@dataclass(frozen=True, slots=True)
class StageDecision:
    """running: before; wanted: what the load alone asks for; plan: what shall run (equal to running when nothing changes)."""

    stage: str
    action: Action
    reason: str
    inputs: Inputs
    running: Running | None = None
    wanted: Running | None = None
    plan: Running | None = None

    def change(self) -> dict[str, int]:
        """The fields to set, empty when nothing changes."""
        if self.plan is None or self.running is None:
            return {}
        return {name: getattr(self.plan, name) for name in ("replicas", "batch") if getattr(self.plan, name) != getattr(self.running, name)}


@dataclass(frozen=True, slots=True)
class StageHistory:
    """(at_s, need_rps) of the stabilisation interval. since_s: no gap and no step up since then."""

    since_s: float
    needs: tuple[tuple[float, float], ...]

    def held_rps(self) -> float:
        return max(need for _, need in self.needs)


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known at a decision. history: of the decision before."""

    windows: Mapping[str, StageWindow]
    running: Mapping[str, Running]
    history: Mapping[str, StageHistory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    at_s: float
    stages: tuple[StageDecision, ...]
    history: Mapping[str, StageHistory]

    @property
    def changes(self) -> dict[str, dict[str, int]]:
        """Stage to the fields to set, only of stages that change."""
        return {stage.stage: stage.change() for stage in self.stages if stage.change()}

    @property
    def reason(self) -> str:
        return "; ".join(f"{stage.stage}: {stage.reason}" for stage in self.stages)


def served(pipeline: Pipeline) -> tuple[Stage, ...]:
    """The stages our service runs: not those at a foreign endpoint, nor joins without an operator."""
    return tuple(stage for stage in pipeline.stages if stage.is_ours)


def slo_share_ms(pipeline: Pipeline, name: str) -> float:
    """An equal share of the SLO for each stage but plain joins on the longest path through that one."""
    before = {SOURCE: 0}
    for stage in pipeline.stages:
        before[stage.name] = max(before[previous] for previous in stage.after) + (not stage.is_plain_join)
    behind = dict.fromkeys(before, 0)
    for stage in reversed(pipeline.stages):
        for previous in stage.after:
            behind[previous] = max(behind[previous], behind[stage.name] + (not stage.is_plain_join))
    return pipeline.slo_ms / max(1, before[name] + behind[name])


def decide(pipeline: Pipeline, observed: Observed, settings: ReactiveSettings, now_s: float) -> Decision:
    """The next setting of every served stage, and why."""
    judged = [_judge(_Case(stage, slo_share_ms(pipeline, stage.name) * settings.slo_share, settings), observed, now_s)
              for stage in served(pipeline)]
    stages = _within_budget(pipeline, [stage for stage, _ in judged], settings)
    kept = {alone.stage: history for alone, history in judged if history is not None}
    for stage in stages:
        if stage.action is Action.UP and stage.stage in kept:
            kept[stage.stage] = replace(kept[stage.stage], since_s=now_s)
    return Decision(now_s, tuple(stages), kept)


@dataclass(frozen=True, slots=True)
class _Case:
    """One stage of the file and what holds for it."""

    stage: Stage
    limit_ms: float
    settings: ReactiveSettings

    def batches(self, learned: LearnedTime) -> list[int]:
        """Powers of two and batch.max that meet (latency), from BATCH_FLOOR on where that meets it; never empty."""
        top = self.stage.batch_max
        sizes = [2**power for power in range(top.bit_length()) if 2**power < top] + [top]
        fitting = [size for size in sizes if learned.batch_ms(size) <= self.limit_ms] or [1]
        return [size for size in fitting if size >= min(BATCH_FLOOR, fitting[-1])]

    def carries_rps(self, running: Running, learned: LearnedTime) -> float:
        """n * mu(b) * rho."""
        return running.replicas * learned.capacity_rps(running.batch) * self.settings.utilization

    def smallest(self, need_rps: float, learned: LearnedTime, least: Running) -> Running:
        """Fewest replicas from least.replicas on, then smallest batch, that carry it; the most there is when none does."""
        batches = [batch for batch in self.batches(learned) if batch >= least.batch] or [least.batch]
        for replicas in range(least.replicas, self.stage.replicas.max + 1):
            for batch in batches:
                plan = replace(least, replicas=replicas, batch=batch)
                if self.carries_rps(plan, learned) >= need_rps:  # capacity
                    return plan
        return replace(least, replicas=max(least.replicas, self.stage.replicas.max), batch=batches[-1])

    def inside(self, running: Running) -> Running:
        """The nearest setting the file allows."""
        bounds = self.stage.replicas
        return replace(running, replicas=min(max(running.replicas, bounds.min), bounds.max),
                       batch=min(max(running.batch, 1), self.stage.batch_max))


def _judge(case: _Case, observed: Observed, now_s: float) -> tuple[StageDecision, StageHistory | None]:
    """What this stage alone asks for; budget aside."""
    name, settings = case.stage.name, case.settings
    window, running, history = observed.windows.get(name), observed.running.get(name), observed.history.get(name)
    staleness_s = window.staleness_s(now_s) if window is not None else None
    inputs = Inputs(staleness_s=staleness_s, batch_limit_ms=case.limit_ms)
    hold = StageDecision(name, Action.HOLD, "", inputs, running, None, running)
    if window is None or staleness_s is None or window.latest is None:
        return replace(hold, reason="hold: no telemetry yet"), history
    if staleness_s > settings.stale_after_s:
        return replace(hold, reason=f"hold: telemetry is stale, {staleness_s:.1f} s old"), history
    if running is None:
        return replace(hold, reason="hold: the running setting is not known yet"), history
    learned, latest = window.latest.service_time, window.latest
    worst, peak_rps = window.worst_total_ms(now_s), window.peak_arrival_rps(now_s) or 0.0
    need_rps = peak_rps + (latest.backlog_rows / settings.catch_up_s if latest.replicas_ready >= running.replicas else 0.0)
    history = _extended(history, now_s, need_rps, settings)
    inputs = replace(
        inputs, arrival_rps=window.arrival_rps(now_s), peak_arrival_rps=peak_rps, backlog_rows=latest.backlog_rows, need_rps=need_rps,
        held_need_rps=history.held_rps(), service_time=learned, total_p99_ms=worst.p99 if worst else None,
        replicas_ready=latest.replicas_ready)
    if learned is None:
        return replace(hold, inputs=inputs, reason="hold: the service has not learned how long a batch takes"), history
    first = case.inside(running)
    if _too_long(case, window, first.batch, now_s):
        first = replace(first, batch=min(first.batch, case.batches(learned)[-1]))
    settled = now_s - history.since_s >= settings.stabilization_s
    return _sized(case, StageDecision(name, Action.KEEP, "", inputs, running, first, first), learned, settled), history


def _sized(case: _Case, kept: StageDecision, learned: LearnedTime, settled: bool) -> StageDecision:
    """Up, down, wait or keep, starting from kept.plan: what runs, brought inside the file's bounds."""
    first, held_rps = kept.plan, kept.inputs.held_need_rps
    assert first is not None
    assert held_rps is not None
    carries_rps = case.carries_rps(first, learned)
    load = f"needs {held_rps:.0f} rows/s, {_words(first)} carries {carries_rps:.0f}"
    if carries_rps < held_rps:
        up = case.smallest(held_rps, learned, first)
        if up.replicas > first.replicas:
            up = replace(up, batch=max(up.batch, case.batches(learned)[-1]))
        carried = case.carries_rps(up, learned)
        rest = "" if carried >= held_rps else f", which carries only {carried:.0f}"
        return replace(kept, action=_action(kept.running, up, Action.SHORT), wanted=up, plan=up, reason=f"{load}: {_words(up)}{rest}")
    least = replace(first, replicas=case.stage.replicas.min)
    down = case.smallest(held_rps * (1 + SLACK), learned, least)
    enough = case.carries_rps(down, learned) >= held_rps * (1 + SLACK)
    if enough and (down.replicas, down.batch) < (first.replicas, first.batch):
        if settled:
            return replace(kept, action=Action.DOWN, wanted=down, plan=down, reason=f"{load}: {_words(down)} is enough")
        kept = replace(kept, action=Action.WAIT, wanted=down, reason=f"{load}; {_words(down)} would do, waiting for the interval to pass")
    else:
        kept = replace(kept, reason=load)
    if first == kept.running:
        return kept
    return replace(kept, action=_action(kept.running, first, Action.KEEP), wanted=first,
                   reason=f"outside the file's bounds, or batches take too long: {_words(first)}; {load}")


def _action(running: Running | None, plan: Running, unchanged: Action) -> Action:
    if plan == running or running is None:
        return unchanged
    return Action.UP if plan.replicas > running.replicas or plan.batch > running.batch else Action.DOWN


def _extended(history: StageHistory | None, now_s: float, need_rps: float, settings: ReactiveSettings) -> StageHistory:
    """The history with this need; begun anew after a gap."""
    if history is None or now_s - history.needs[-1][0] > settings.stale_after_s:
        return StageHistory(now_s, ((now_s, need_rps),))
    recent = tuple(entry for entry in history.needs if entry[0] >= now_s - settings.stabilization_s)
    return replace(history, needs=(*recent, (now_s, need_rps)))


def _too_long(case: _Case, window: StageWindow, batch: int, now_s: float) -> bool:
    records = window.records(now_s)
    spans_s = records[-1].at_s - records[0].at_s if records else 0.0
    times = [record.service_time.batch_ms(batch) for record in records if record.service_time is not None]
    return spans_s >= FULL_WINDOW * window.length_s and bool(times) and min(times) > case.limit_ms


def _within_budget(pipeline: Pipeline, asked: list[StageDecision], settings: ReactiveSettings) -> list[StageDecision]:
    """Replicas the budget does not hold are not granted, the best covered stage going without first."""
    specs = {stage.name: stage for stage in served(pipeline)}
    cores = {stage.stage: stage.plan.cores if stage.plan else specs[stage.stage].cores for stage in asked}
    granted = {stage.stage: stage.plan.replicas if stage.plan else specs[stage.stage].replicas.initial for stage in asked}
    free = {stage.stage: stage for stage in asked if stage.action is not Action.HOLD}

    def over() -> bool:
        replicas, budget = sum(granted.values()), pipeline.budget
        used = sum(count * cores[name] for name, count in granted.items())
        return (budget.replicas is not None and replicas > budget.replicas) or (budget.cores is not None and used > budget.cores)

    def coverage_less_one(name: str) -> float:
        held, learned, plan = free[name].inputs.held_need_rps, free[name].inputs.service_time, free[name].plan
        assert held is not None
        assert learned is not None
        assert plan is not None
        return (granted[name] - 1) * learned.capacity_rps(plan.batch) * settings.utilization / held if held else math.inf

    def running(name: str) -> int:
        before = free[name].running
        return before.replicas if before is not None else 0

    while over():
        above_least = [name for name in free if granted[name] > specs[name].replicas.min]
        additional = [name for name in above_least if granted[name] > running(name)]
        if not above_least:
            break
        granted[max(additional or above_least, key=coverage_less_one)] -= 1
    return [_granted(stage, granted[stage.stage]) for stage in asked]


def _granted(stage: StageDecision, replicas: int) -> StageDecision:
    if stage.plan is None or replicas >= stage.plan.replicas:
        return stage
    plan = replace(stage.plan, replicas=replicas)
    return replace(stage, action=_action(stage.running, plan, Action.SHORT), plan=plan,
                   reason=f"{stage.reason}; the budget leaves {replicas} of {stage.plan.replicas} replicas")


def _words(running: Running) -> str:
    return f"{running.replicas} x batch {running.batch}"
