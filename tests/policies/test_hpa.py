from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.model import Share
from autoscaler.policies.hpa import Hpa
from autoscaler.policies.hpa_behavior import Behavior, Bounds, Past, settle, spread
from autoscaler.policies.policy import Pool
from tests.policies.suite import NO_FORECAST, SINGLE, problem, state

ROOMY = problem({"only": ()}, cores=100.0)
OPTIONS = SINGLE.stages[0].options
BOUNDS = Bounds(1, 100)


def wanted(decision) -> int:
    return sum(share.replicas for share in decision.targets["only"].shares)


def asked(use: float | None, replicas: int, **fields) -> int:
    return wanted(Hpa(ROOMY).decide(state(ROOMY, replicas=replicas, utilization=use, **fields), NO_FORECAST))


@pytest.mark.parametrize(("use", "replicas", "expected"), [
    (0.8, 3, 3),  # ratio 1
    (0.88, 3, 3),  # ratio 1.1, within the tolerance
    (0.9, 3, 4),  # ceil(3 * 1.125)
    (0.72, 3, 3),  # ratio 0.9, within the tolerance
])
def test_ratio_and_tolerance(use, replicas, expected):
    assert asked(use, replicas) == expected


def test_what_is_not_measured_is_read_from_the_time_in_batches():
    assert asked(None, 4, busy=0.96) == 5  # ceil(4 * 1.2)


def test_replicas_that_start_count_as_idle():
    pools = (Pool(OPTIONS[0], 2, 2),)
    # ratio 0.96 / 0.8 = 1.2 over the two ready, 0.6 over all four: turned around
    assert wanted(Hpa(ROOMY).decide(state(ROOMY, pools=pools, utilization=0.96), NO_FORECAST)) == 4
    # ratio 3 over two, 1.5 over four: ceil(4 * 1.5)
    assert wanted(Hpa(ROOMY, target=0.3).decide(state(ROOMY, pools=pools, utilization=0.9), NO_FORECAST)) == 6


def test_nothing_ready_nothing_done():
    assert wanted(Hpa(ROOMY).decide(state(ROOMY, pools=(Pool(OPTIONS[0], 0, 3),), utilization=0.9), NO_FORECAST)) == 3


def test_a_step_down_waits_for_the_window():
    policy, memory, seen = Hpa(ROOMY), None, []
    for tick in range(22):
        decision = policy.decide(state(ROOMY, replicas=10, utilization=0.4, now_s=15.0 * tick), NO_FORECAST, memory)
        memory = decision.memory
        seen.append(wanted(decision))
    assert seen[:20] == [10] * 20  # the first record says what ran: 10 at 0 s, out of the window at 300 s
    assert seen[20] == 5


def test_a_peak_within_the_window_holds_the_replicas():
    policy, memory = Hpa(ROOMY), None
    for tick in range(40):
        use = 0.8 if tick == 15 else 0.4
        decision = policy.decide(state(ROOMY, replicas=10, utilization=use, now_s=15.0 * tick), NO_FORECAST, memory)
        memory = decision.memory
        if wanted(decision) < 10:
            break
    assert tick == 35  # 300 s after the peak


def test_up_by_four_or_double_in_a_period():
    assert settle(50, 2, Past(), Behavior(), BOUNDS, 0.0)[0] == 6  # 2 + 4
    assert settle(50, 10, Past(), Behavior(), BOUNDS, 0.0)[0] == 20
    replicas, past = settle(50, 10, Past(), Behavior(), BOUNDS, 0.0)
    assert settle(50, replicas, past, Behavior(), BOUNDS, 5.0)[0] == 20  # the period began with 10
    assert settle(50, replicas, past, Behavior(), BOUNDS, 15.0)[0] == 40


def test_down_limited_by_a_share():
    slow = Behavior(down_window_s=0.0, down_percent=0.1)
    assert settle(1, 50, Past(), slow, BOUNDS, 0.0)[0] == 45


@given(desired=st.integers(0, 300), now=st.integers(0, 100), seen=st.lists(st.tuples(st.floats(0, 900), st.integers(0, 100)), max_size=6))
def test_within_bounds_and_never_past_the_wish(desired, now, seen):
    past = Past(tuple(sorted(seen)))
    replicas, after = settle(desired, now, past, Behavior(), BOUNDS, 1000.0)
    assert 1 <= replicas <= 100
    if 1 <= now <= 100:
        assert min(desired, now) <= replicas or replicas == 1
        assert replicas <= max(desired, now)
    assert all(at_s > 700.0 for at_s, _ in after.recommended)


def test_a_total_is_spread_as_it_runs():
    pools = (Pool(OPTIONS[0], 3, share=0.5), Pool(OPTIONS[1], 1, share=0.5))
    assert spread(pools, 8, OPTIONS[0]) == (Share(OPTIONS[0], 6, 0.5), Share(OPTIONS[1], 2, 0.5))
    assert [share.replicas for share in spread(pools, 6, OPTIONS[0])] == [5, 1]  # 4.5 and 1.5: the first of equals
    assert spread((), 2, OPTIONS[3]) == (Share(OPTIONS[3], 2),)


def test_pods_beyond_the_devices_are_cut():
    of = replace(ROOMY, devices={"cpu": 5})
    assert wanted(Hpa(of).decide(state(of, replicas=4, utilization=1.0, now_s=0.0), NO_FORECAST)) == 5
    of = replace(ROOMY, devices={"cpu": 4})
    assert wanted(Hpa(of).decide(state(of, replicas=4, utilization=1.0, now_s=0.0), NO_FORECAST)) == 4
