"""Where each policy comes to rest at each rate, and what that costs, by one and the same reckoning.

    settle       a policy is asked again and again at a constant rate, from the file's start; what it says runs at once (no cold starts), and
                 queues move as fluid: q += (rate - sum of n * throughput) * seconds, never below 0
    at rest      nothing has changed for REST_S seconds and three decisions, or after LONGEST_S
    row          cost, accuracy and latency of what it rests at, by `evaluate` with the product's own sizing; `meets` when load, deadline and
                 capacity hold

This says what policies aim at under a steady load, not how they follow one that changes: that is what the simulator is for.
A row off the `pareto` front is beaten by another of the same rate: no dearer, no less accurate, and better in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.model import CPU, Problem, Share
from autoscaler.planner.standing import Standing, stand
from autoscaler.policies.policy import Forecast, Policy, Pool, StageState, State

REST_S = 30.0
LONGEST_S = 900.0
HISTORY_S = 120


@dataclass(frozen=True, slots=True)
class Row:
    """One policy at one rate. latency_ms: inf when it does not carry the load. missed: the constraints it breaks. rested: it came to rest."""

    policy: str
    rate: float
    cost: float
    accuracy: float
    latency_ms: float
    cores: float
    meets: bool
    missed: tuple[str, ...]
    rested: bool
    choices: tuple[str, ...]


def sweep(problem: Problem, policies: Mapping[str, Callable[[Problem], Policy]], rates: Iterable[float],
          start: Mapping[str, tuple[Share, ...]]) -> tuple[Row, ...]:
    """policies: by name, from the problem at that rate to the policy. start: what runs before the first decision."""
    rows = []
    for rate in rates:
        here = replace(problem, rate=rate)
        for name, build in policies.items():
            standing, rested = settle(here, build(here), start)
            rows.append(_row(name, rate, standing, rested))
    return tuple(rows)


def settle(problem: Problem, policy: Policy, start: Mapping[str, tuple[Share, ...]]) -> tuple[Standing, bool]:
    """What the policy rests at under the problem's rate, and whether it did rest."""
    running, memory = dict(start), None
    queues = {stage.name: 0.0 for stage in problem.stages}
    parallelism = {stage.name: 1 for stage in problem.stages}
    now_s = since_s = 0.0
    unchanged = 0
    while now_s < LONGEST_S and (now_s - since_s < REST_S or unchanged < 3):
        standing = stand(problem, running)
        decision = policy.decide(_state(problem, standing, queues, parallelism, now_s), _forecast(problem.rate), memory)
        memory = decision.memory
        wanted = {**running, **{name: target.shares for name, target in decision.targets.items()}}
        parallelism |= {name: target.parallelism for name, target in decision.targets.items() if target.parallelism is not None}
        unchanged, since_s = (unchanged + 1, since_s) if wanted == running else (0, now_s)
        running = wanted
        for stage in standing.plan.stages:
            carried = sum(share.replicas * share.option.throughput for share in running[stage.name])
            queues[stage.name] = max(0.0, queues[stage.name] + (stage.rate - carried) * policy.interval_s)
        now_s += policy.interval_s
    return stand(problem, running), unchanged >= 3


def pareto(rows: Iterable[Row]) -> frozenset[tuple[str, float]]:
    """(policy, rate) of the rows that meet the load and that no other row of the same rate that does beats in cost and accuracy."""
    good = [row for row in rows if row.meets]
    return frozenset((row.policy, row.rate) for row in good if not any(_beats(other, row) for other in good if other.rate == row.rate))


def _beats(one: Row, other: Row) -> bool:
    near = 1e-9
    no_worse = one.cost <= other.cost + near and one.accuracy >= other.accuracy - near
    return no_worse and (one.cost < other.cost - near or one.accuracy > other.accuracy + near)


def _row(name: str, rate: float, standing: Standing, rested: bool) -> Row:
    plan = standing.plan
    missed = tuple(dict.fromkeys(violation.constraint for violation in standing.broken))
    choices = tuple(f"{stage.name}: " + " + ".join(
        f"{share.replicas} x {share.option.variant} ({share.option.units:g} {share.option.device}, batch {share.option.batch})"
        for share in stage.shares) for stage in plan.stages)
    return Row(name, rate, plan.totals.cost, plan.totals.accuracy, plan.latency_ms, plan.totals.used.get(CPU, 0.0), standing.serves, missed,
               rested, choices)


def _forecast(rate: float) -> Forecast:
    return Forecast(10.0, {0.5: rate, 0.99: rate}, 0.0)


def _state(problem: Problem, standing: Standing, queues: Mapping[str, float], parallelism: Mapping[str, int], now_s: float) -> State:
    late = standing.plan.latency_ms > problem.slo_ms
    stages = {}
    for stage in standing.plan.stages:
        carried = sum(share.replicas * share.option.throughput for share in stage.shares)
        busy = min(1.0, stage.rate / carried) if carried else 1.0
        stages[stage.name] = StageState(
            tuple(Pool(share.option, share.replicas, 0, share.share) for share in stage.shares), parallelism[stage.name], stage.rate,
            true_rate=carried / parallelism[stage.name], queue=round(queues[stage.name]), lag=0, busy=busy, utilization=busy,
            violations=1.0 if late else 0.0)
    return State(now_s, (problem.rate,) * HISTORY_S, stages)
