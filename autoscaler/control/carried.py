"""Whether what a decision leaves running carries the load: what is said of a policy that does not say so itself.

    lam        events/s at the source, mean of the last SECONDS
    rate(v)    rows/s at stage v that lam makes, by the shares that are to run      (policies.arrivals)
    carried    for each v: rate(v) <= sum over its shares of replicas * throughput of the option
"""

from __future__ import annotations

from autoscaler.planner.model import Problem
from autoscaler.policies.arrivals import in_order, rows_per_second
from autoscaler.policies.policy import Decision, State, running

SECONDS = 10


def is_carried(problem: Problem, state: State, decision: Decision) -> bool | None:
    """None while no load is known, or not what runs in a stage that the decision leaves alone."""
    recent = state.rates[-SECONDS:]
    if not recent:
        return None
    chosen = {name: tuple(share for share in shares if share.replicas) for name, shares in running(problem, state).items()}
    chosen |= {name: target.shares for name, target in decision.targets.items()}
    if not all(chosen.values()):
        return None
    source, rates = sum(recent) / len(recent), {}
    for stage in in_order(problem):
        rates[stage.name] = rows_per_second(stage, source, rates, chosen)
    return all(rate <= sum(share.replicas * share.option.throughput for share in chosen[name]) for name, rate in rates.items())
