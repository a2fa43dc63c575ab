"""The share of events in time, against draws from the same model."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.attainment import Children, Spread, Way, attained, stage_spread
from autoscaler.planner.free_replica import Station, erlang_c, ggc_mean_ms
from autoscaler.planner.model import Option, Plan, Share, StagePlan, Totals
from autoscaler.planner.queueing import HEADROOM

CV = 0.3
DRAWS = 200_000


def share(batch=1, latency_ms=10.0, replicas=1, part=1.0):
    return Share(Option("v", batch, 1, latency_ms, 1000 * batch / latency_ms, 0.9, 1), replicas, part)


def plan_of(**stages):
    """Each: its shares and its rate."""
    return Plan(tuple(StagePlan(name, shares, rate, 0) for name, (shares, rate) in stages.items()), Totals(0, 1), 0, (0,), True)


def drawn(rng, share, rate, n=DRAWS):
    """Times of rows in the stage, straight from the model's description."""
    option, replicas = share.option, share.replicas
    service_ms = option.latency_ms
    load = rate * service_ms / 1000
    busy = erlang_c(replicas, min(load, replicas / HEADROOM))
    residual = np.where(rng.random(n) < busy, service_ms * rng.random((n, replicas)).min(axis=1), 0)
    full = Station(rate / option.batch, service_ms, replicas, 1 / option.batch, CV**2)
    waiting = erlang_c(replicas, full.load)
    overflow = np.where(rng.random(n) < waiting, rng.exponential(ggc_mean_ms(full) / waiting, n), 0)
    gathered = min(option.batch, max(1, int(np.ceil(HEADROOM * load / replicas - 1e-9))))
    gaps = rng.integers(0, gathered, n)
    fill = np.where(gaps > 0, rng.gamma(np.maximum(gaps, 1), 1000 / rate), 0)
    return rng.gamma(1 / CV**2, service_ms * CV**2, n) + residual + overflow + fill


@pytest.mark.parametrize(("batch", "latency_ms", "replicas", "utilization"), [(1, 10, 1, 0.6), (1, 10, 3, 0.8), (8, 30, 1, 0.7), (8, 30, 2, 0.3)])
def test_moments_are_those_of_the_model(batch, latency_ms, replicas, utilization):
    chosen = share(batch, latency_ms, replicas)
    rate = utilization * replicas * chosen.option.throughput
    times, spread = drawn(np.random.default_rng(1), chosen, rate), stage_spread(chosen, rate, CV)
    assert spread.mean_ms == pytest.approx(times.mean(), rel=0.01)
    assert spread.variance == pytest.approx(times.var(), rel=0.05)


def test_a_chain_within_a_hundredth_of_the_draws():
    rng = np.random.default_rng(2)
    a, b, c = share(4, 20, 2), share(1, 6, 1), share(8, 40, 3)
    plan = plan_of(a=((a,), 200), b=((b,), 100), c=((c,), 300))
    times = drawn(rng, a, 200) + drawn(rng, b, 100) + drawn(rng, c, 300)
    for wanted in (0.9, 0.95, 0.99):
        slo_ms = np.quantile(times, wanted)
        assert attained(plan, [Way(1, ("a", "b", "c"))], slo_ms, CV) == pytest.approx(wanted, abs=0.01)


def test_a_join_waits_for_the_slowest_child():
    rng = np.random.default_rng(3)
    a, b = share(1, 5), share(4, 20, 2)
    plan = plan_of(a=((a,), 60), b=((b,), 240))
    way = Way(1, ("a", Children(4, (Way(1, ("b",)),)), "a"))
    times = drawn(rng, a, 60) + np.max([drawn(rng, b, 240) for _ in range(4)], axis=0) + drawn(rng, a, 60)
    for wanted in (0.9, 0.99):
        assert attained(plan, [way], np.quantile(times, wanted), CV) == pytest.approx(wanted, abs=0.01)
    assert attained(plan, [Way(1, ("a", "b", "a"))], np.quantile(times, 0.9), CV) > 0.93  # one child alone is faster


def test_branches_count_by_their_share():
    plan = plan_of(a=((share(),), 10), b=((share(1, 100),), 1))
    fast, slow = attained(plan, [Way(1, ("a",))], 60), attained(plan, [Way(1, ("a", "b"))], 60)
    assert fast > 0.999
    assert slow < 0.05
    assert attained(plan, [Way(0.75, ("a",)), Way(0.25, ("a", "b"))], 60) == pytest.approx(0.75 * fast + 0.25 * slow)


def test_children_may_go_several_ways():
    rng = np.random.default_rng(5)
    a, b = share(1, 10, 2), share(1, 15, 2)
    plan = plan_of(a=((a,), 60), b=((b,), 20))
    child = np.array([drawn(rng, a, 60) + np.where(rng.random(DRAWS) < 0.25, drawn(rng, b, 20), 0) for _ in range(3)])
    ways = (Way(0.75, ("a",)), Way(0.25, ("a", "b")))
    assert attained(plan, [Way(1, (Children(3, ways),))], np.quantile(child.max(axis=0), 0.95), CV) == pytest.approx(0.95, abs=0.02)


def test_several_variants_are_as_many_ways():
    quick, slow = share(1, 10, 1), share(1, 200, 2)
    mixed = attained(plan_of(a=((replace(quick, share=0.75), replace(slow, share=0.25)), 4)), [Way(1, ("a",))], 150, CV)
    alone = [attained(plan_of(a=((one,), rate)), [Way(1, ("a",))], 150, CV) for one, rate in ((quick, 3), (slow, 1))]
    assert alone[0] > 0.999
    assert alone[1] < 0.3
    assert mixed == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])


def test_children_of_several_variants_wait_for_the_slow_one():
    rng = np.random.default_rng(4)
    one, other = share(1, 10, 2), share(1, 16, 2)
    plan = plan_of(a=((replace(one, share=0.5), replace(other, share=0.5)), 60))
    child = np.where(rng.random((3, DRAWS)) < 0.5, [drawn(rng, one, 30) for _ in range(3)], [drawn(rng, other, 30) for _ in range(3)])
    slo_ms = np.quantile(child.max(axis=0), 0.9)
    assert attained(plan, [Way(1, (Children(3, (Way(1, ("a",)),)),))], slo_ms, CV) == pytest.approx(0.9, abs=0.02)


def test_nobody_is_in_time_where_the_queue_grows():
    assert stage_spread(share(), 100, CV) == Spread(inf, inf)
    assert attained(plan_of(a=((share(),), 100)), [Way(1, ("a",))], 1e9) == 0


def test_without_variance_it_is_all_or_nothing():
    assert Spread(10, 0).within(10) == 1
    assert Spread(10, 0).within(9.999) == 0
    assert Spread(10, 5).within(-1) == 0


def test_ways_must_be_all_of_the_events():
    with pytest.raises(ValueError, match=r"add up to 0\.5"):
        attained(plan_of(a=((share(),), 1)), [Way(0.5, ("a",))], 100)


def test_the_slowest_of_exponentials_in_closed_form():
    slowest = Spread(10, 100).slowest(3)  # 10 (1 + 1/2 + 1/3), 100 (1 + 1/4 + 1/9)
    assert slowest.mean_ms == pytest.approx(10 * (1 + 1 / 2 + 1 / 3), rel=1e-3)
    assert slowest.variance == pytest.approx(100 * (1 + 1 / 4 + 1 / 9), rel=1e-2)
    assert Spread(10, 100).slowest(1) == Spread(10, 100)
    assert Spread(10, 100).slowest(0) == Spread()


@given(st.integers(1, 32), st.floats(1, 100), st.integers(1, 6), st.floats(0.05, 0.9), st.floats(1, 2000))
def test_more_replicas_never_hurt(batch, latency_ms, replicas, utilization, slo_ms):
    rate = utilization * replicas * 1000 * batch / latency_ms
    means = [stage_spread(share(batch, latency_ms, n), rate, CV).mean_ms for n in (replicas, replicas + 1)]
    assert means[1] <= means[0] * (1 + 1e-9)
