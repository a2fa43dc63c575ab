import math

from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.inferline import PLANNER_SIZING, InferLine, planned
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from bench.published.themis import problem
from tests.policies.test_themis_reference import VIDEO

OF = problem(VIDEO, 300.0, 50.0)
NO_FORECAST = Forecast(10.0, {})


def cores(plan) -> float:
    return sum(share.replicas * share.option.units for share in plan.values())


def seen(plan, *rates: float) -> State:
    return State(0.0, rates, {name: StageState((Pool(share.option, share.replicas),)) for name, share in plan.items()})


def replicas(decision) -> dict[str, int]:
    return {name: target.shares[0].replicas for name, target in decision.targets.items()}


def test_the_plan_is_feasible_and_no_single_step_is_cheaper():
    plan = planned(OF, 100.0, PLANNER_SIZING, {})
    wait = FillWait(Fill.GAMMA, share=0.9)
    assert sum(share.option.latency_ms + wait.wait_ms(share.option, 100.0, 1) for share in plan.values()) < 300
    assert all(share.replicas * share.option.throughput >= 100 for share in plan.values())
    assert all((share.replicas - 1) * share.option.throughput < 100 for share in plan.values())  # no RR left


def test_the_plan_costs_less_than_its_start():
    plan = planned(OF, 100.0, PLANNER_SIZING, {})
    start = sum(4 * math.ceil(100 / next(option.throughput for option in stage.options if (option.units, option.batch) == (4, 1)))
                for stage in OF.stages)
    assert cores(plan) < start


def test_the_tuner_scales_with_the_load():
    plan = planned(OF, 50.0, PLANNER_SIZING, {})
    policy = InferLine(OF, base_rate=50.0)
    same = policy.decide(seen(plan, 50.0), NO_FORECAST)
    assert replicas(same) == {name: share.replicas for name, share in plan.items()}
    double = replicas(policy.decide(seen(plan, 100.0), NO_FORECAST, same.memory))
    assert double == {name: 2 * share.replicas for name, share in plan.items()}


def test_the_base_is_the_first_rate_seen():
    first = InferLine(OF).decide(seen(planned(OF, 50.0, PLANNER_SIZING, {}), 50.0), NO_FORECAST)
    assert first.memory.base == 50
    assert InferLine(OF).decide(seen(first.memory.plan, 90.0), NO_FORECAST, first.memory).memory.base == 50


def test_a_scale_in_waits_for_twenty_decisions():
    policy = InferLine(OF, base_rate=100.0)
    plan = planned(OF, 100.0, PLANNER_SIZING, {})
    memory, waits = None, 0
    while True:
        decision = policy.decide(seen(plan, 20.0), NO_FORECAST, memory)
        if sum(replicas(decision).values()) < sum(share.replicas for share in plan.values()):
            break
        waits, memory = waits + 1, decision.memory
    assert waits == 19


def test_the_last_thirty_seconds_hold_the_replicas():
    policy = InferLine(OF, base_rate=50.0)
    plan = planned(OF, 50.0, PLANNER_SIZING, {})
    assert replicas(policy.decide(seen(plan, 100.0, *[10.0] * 29), NO_FORECAST)) == {name: 2 * share.replicas for name, share in plan.items()}
