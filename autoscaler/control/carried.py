"""Whether what a decision leaves running carries the load: what is said of a policy that does not say so itself.

    lam        events/s at the source, mean of the last SECONDS
    rate(v)    rows/s at stage v that lam makes, by the shares that are to run      (policies.arrivals)
    carried    for each v: rate(v) <= sum over its shares of replicas * throughput of the option
"""

from __future__ import annotations

from autoscaler.planner.model import Problem, Share
from autoscaler.policies.arrivals import in_order, rows_per_second
from autoscaler.policies.policy import Decision, State

SECONDS = 10


def is_carried(problem: Problem, state: State, decision: Decision) -> bool | None:
    """None while no load is known, or not what runs in a stage that the decision leaves alone."""
    recent = state.rates[-SECONDS:]
    if not recent:
        return None
    source, rates, chosen = sum(recent) / len(recent), {}, {}
    enough = True
    for stage in in_order(problem):
        if stage.name in decision.targets:
            chosen[stage.name] = decision.targets[stage.name].shares
        elif stage.name in state.stages:
            chosen[stage.name] = tuple(Share(pool.option, pool.replicas, pool.share) for pool in state.stages[stage.name].pools if pool.replicas)
        if not chosen.get(stage.name):
            return None
        rates[stage.name] = rows_per_second(stage, source, rates, chosen)
        enough &= rates[stage.name] <= sum(share.replicas * share.option.throughput for share in chosen[stage.name])
    return enough
