import math
from dataclasses import replace

import pytest

from autoscaler.policies.flink_autoscaler import FlinkAutoscaler, Vertex
from autoscaler.policies.policy import Pool, State
from tests.policies.suite import NO_FORECAST, problem, state

OF = problem({"first": (), "second": ("first",)}, cores=100.0)
PROMPT = FlinkAutoscaler(OF, stabilization_s=0.0, window_s=20.0, scale_down_interval_s=0.0)
"""Without the long waits, which have tests of their own."""


def seen(now_s: float, rate: float, replicas: int, busy: float, lag: int = 0) -> State:
    whole = state(OF, (rate,), replicas=replicas, now_s=now_s, busy=busy, rate=rate)
    return replace(whole, stages={name: replace(stage, lag=lag if name == "first" else 0) for name, stage in whole.stages.items()})


def follow(policy, states):
    memory, decisions = None, []
    for each in states:
        decisions.append(policy.decide(each, NO_FORECAST, memory))
        memory = decisions[-1].memory
    return decisions


def counts(decision):
    return {name: sum(share.replicas for share in target.shares) for name, target in decision.targets.items()}


def steady(policy, rate, replicas, busy, lag=0, until_s=20.0):
    return follow(policy, [seen(10.0 * tick, rate, replicas, busy, lag) for tick in range(int(until_s / 10) + 1)])[-1]


def test_subtasks_for_the_target_utilisation():
    # TPR = 100 / 1.0 = 100; need = 100 * 300 / 1800 + 100 / 0.7 = 159.5 -> 160 (rounded); 1.6 * 2 -> 4. Outside: 100 >= 100 / 1.0 is not
    assert counts(steady(PROMPT, 100.0, 2, 1.0)) == {}
    # with a backlog the need at utilisation 1 is above the TPR: 1800 / 1800 = 1
    assert counts(steady(PROMPT, 100.0, 2, 1.0, lag=1800)) == {"first": 4, "second": 4}


def test_no_step_within_the_bounds():
    decision = steady(PROMPT, 100.0, 4, 0.9)  # 0.4 .. 1.0
    assert decision.targets == {}
    assert decision.reason == "within the bounds of utilisation"


def test_down_by_no_more_than_the_factor():
    # TPR = 100 / 0.1 = 1000, factor 0.16 -> 0.4: ceil(10 * 0.4)
    assert counts(steady(PROMPT, 100.0, 10, 0.1)) == {"first": 4, "second": 4}


def test_an_idle_vertex_shrinks_too():
    assert counts(steady(PROMPT, 0.0, 10, 0.0)) == {"first": 4, "second": 4}


def test_no_step_down_while_a_backlog_is_processed():
    assert counts(steady(PROMPT, 100.0, 10, 0.1, lag=30100)) == {}  # 301 s of records


def test_never_beyond_the_most():
    assert counts(steady(PROMPT, 100.0, 3, 1.0, lag=1_000_000)) == {"first": 12, "second": 12}


def test_the_documented_waits():
    ticks = [seen(10.0 * tick, 100.0, 2, 1.0, lag=1800) for tick in range(200)]
    decisions = follow(FlinkAutoscaler(OF), ticks)
    first = next(index for index, decision in enumerate(decisions) if decision.targets)
    assert 10 * first == 300 + 900  # stabilisation, then a whole window
    assert "stabilising" in decisions[29].reason
    assert "measuring" in decisions[119].reason
    assert "stabilising" in decisions[first + 1].reason


def test_a_step_down_waits_and_takes_the_most_asked_for():
    policy = replace(PROMPT, scale_down_interval_s=100.0, window_s=10.0)
    busy = [0.1, 0.1, 0.1, 0.2, 0.2] + [0.1] * 8
    decisions = follow(policy, [seen(10.0 * tick, 100.0, 10, share) for tick, share in enumerate(busy)])
    first = next(index for index, decision in enumerate(decisions) if decision.targets)
    assert first == 11  # asked for at 10 s, when the window was whole
    # most of the wishes: busy 0.2, TPR 500: 160 / 500 -> 0.4; so is that of 0.1 (factor bounded): 4
    assert counts(decisions[first]) == {"first": 4, "second": 4}


def test_a_wish_that_is_withdrawn_is_forgotten():
    policy = replace(PROMPT, scale_down_interval_s=100.0, window_s=10.0)
    busy = [0.1] * 6 + [1.0] * 3 + [0.1] * 13
    decisions = follow(policy, [seen(10.0 * tick, 100.0, 10, share) for tick, share in enumerate(busy)])
    assert next(index for index, decision in enumerate(decisions) if decision.targets) > 16


def test_a_proxy_is_scaled_by_its_true_rate():
    policy = replace(PROMPT, vertex=Vertex.PROXY)
    states = [replace(whole := seen(10.0 * tick, 1000.0, 2, 0.5),
                      stages={name: replace(stage, true_rate=rate, parallelism=2)
                              for (name, stage), rate in zip(whole.stages.items(), (300.0, None), strict=True)}) for tick in range(3)]
    decision = follow(policy, states)[-1]
    # need = 1000 / 6 + 1000 / 0.7 = 1595 of 600: 2 * 2.66 -> 6; what is not known stays
    assert {name: target.parallelism for name, target in decision.targets.items()} == {"first": 6}
    assert decision.targets["first"].shares[0].replicas == 2


def test_the_load_of_a_later_stage_follows_the_graph():
    stages = (OF.stages[0], replace(OF.stages[1], rates=(type(OF.stages[0].rate_terms()[0])("first", 2.0),)))
    policy = replace(PROMPT, problem=replace(OF, stages=stages))
    # the second gets 200/s where 100 are measured at full use: need 200 / 6 + 200 / 0.7 = 319 of 100
    assert counts(steady(policy, 100.0, 2, 1.0)) == {"first": 4, "second": 7}


@pytest.mark.parametrize("catch_up_s", [0.0, 600.0])
def test_catching_up_takes_subtasks(catch_up_s):
    policy = replace(PROMPT, catch_up_s=catch_up_s, restart_s=0.0)
    got = counts(steady(policy, 100.0, 2, 1.0, lag=60_000)).get("first", 2)
    need = 60_000 / 600 + 100 / 0.7 if catch_up_s else 100 / 0.7
    assert got == (math.ceil(2 * round(need) / 100) if catch_up_s else 2)


def test_replicas_that_start_are_subtasks():
    whole = [seen(10.0 * tick, 100.0, 2, 1.0, lag=1800) for tick in range(3)]
    pools = (Pool(OF.stages[0].options[0], 1, 1),)
    whole = [replace(each, stages={name: replace(stage, pools=pools) for name, stage in each.stages.items()}) for each in whole]
    assert counts(follow(PROMPT, whole)[-1]) == {"first": 4, "second": 4}
