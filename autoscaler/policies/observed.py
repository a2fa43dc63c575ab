"""What a policy reads from the state in the same way as others: the recent rate, and the one option that a stage runs."""

from __future__ import annotations

import math

from autoscaler.planner.model import Problem, Share
from autoscaler.policies.policy import Forecast, State

NEAR = 1e-9


def recent_rate(state: State, forecast: Forecast, seconds: int) -> int:
    """Whole events/s of the source, up: the most in the last `seconds`; before any is known the forecast's median; else 0."""
    if state.rates:
        return math.ceil(max(state.rates[-seconds:]) - NEAR)
    return math.ceil(forecast.at(0.5) - NEAR) if forecast.quantiles else 0


def at_work(problem: Problem, state: State) -> dict[str, Share]:
    """By stage, the option that takes most rows and the replicas of it, started or starting; no entry where nothing runs."""
    found = {}
    for stage in problem.stages:
        pools = [pool for pool in state.stages[stage.name].pools if pool.replicas] if stage.name in state.stages else []
        if pools:
            pool = max(pools, key=lambda pool: pool.share)
            found[stage.name] = Share(pool.option, pool.replicas)
    return found
