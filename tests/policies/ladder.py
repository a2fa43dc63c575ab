"""A small ladder of variants on cores, and streams of decisions over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import ServiceWait
from autoscaler.policies.policy import Decision, Forecast, Policy, Pool, StageState, State

VARIANTS = {"small": (4.0, 0.90), "large": (20.0, 0.98)}
"""ms of one row on one core, accuracy."""


def option(variant: str, batch: int, cores: int) -> Option:
    """A quarter of the work is fixed per batch, and nine tenths of it run on all cores."""
    row_ms, accuracy = VARIANTS[variant]
    latency_ms = row_ms * (0.25 + 0.75 * batch) * (0.1 + 0.9 / cores)
    return Option(variant, batch, cores, latency_ms, 1000 * batch / latency_ms, accuracy, float(cores))


OPTIONS = tuple(option(variant, batch, cores) for variant in VARIANTS for batch in (1, 4) for cores in (1, 2, 4))


def ladder(cores: float = 8, slo_ms: float = 100, stages: int = 1, objective: object = None) -> Problem:
    """A chain of equal stages."""
    names = [f"s{number}" for number in range(stages)]
    chain = tuple(StageModel(name, OPTIONS, after=(names[number - 1],) if number else (), most=8) for number, name in enumerate(names))
    return Problem(chain, 1.0, slo_ms, objective or MostAccurate(), ServiceWait(), {"cpu": cores})


def runs(problem: Problem, variant: str = "small", batch: int = 1, cores: int = 1, replicas: int = 1) -> dict[str, tuple[Share, ...]]:
    return {stage.name: (Share(option(variant, batch, cores), replicas),) for stage in problem.stages}


def seen(running: dict[str, tuple[Share, ...]], rate: float, now_s: float = 100.0, starting: int = 0, **more: object) -> State:
    """Everything ready but the last `starting` of each stage's replicas; a minute of the same rate."""
    of_stage = {key: more.pop(key) for key in ("queue", "lag", "true_rate") if key in more}
    stages = {name: StageState(tuple(Pool(share.option, share.replicas - starting, starting, share.share) for share in shares), rate=rate, **of_stage)
              for name, shares in running.items()}
    return State(now_s, (rate,) * 60, stages, **more)


def steady(rate: float) -> Forecast:
    return Forecast(10.0, {0.5: rate, 0.99: rate})


def after(running: dict[str, tuple[Share, ...]], decision: Decision) -> dict[str, tuple[Share, ...]]:
    return {**running, **{name: target.shares for name, target in decision.targets.items()}}


def follow(policy: Policy, running: dict[str, tuple[Share, ...]], rates: Iterable[float]) -> list[dict[str, tuple[Share, ...]]]:
    """What runs after each second's decision; replicas are ready at once, and the last minute is remembered."""
    past, memory, found = [], None, []
    for second, rate in enumerate(rates):
        past = [*past, rate][-60:]
        state = replace(seen(running, rate, float(second)), rates=tuple(past))
        decision = policy.decide(state, Forecast(10.0, {}), memory)
        memory, running = decision.memory, after(running, decision)
        found.append(running)
    return found


def replicas(running: dict[str, tuple[Share, ...]]) -> int:
    return sum(share.replicas for shares in running.values() for share in shares)


def cores(running: dict[str, tuple[Share, ...]]) -> float:
    return sum(share.replicas * share.option.units for shares in running.values() for share in shares)
