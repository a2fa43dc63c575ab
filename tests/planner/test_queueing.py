"""The sizings, and ServiceWait against a replay of the service's batch rule."""

import heapq
from itertools import pairwise
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.free_replica import Station, erlang_c, ggc_mean_ms, tail_quantile_ms
from autoscaler.planner.model import Kind, Option
from autoscaler.planner.queueing import Fill, FillWait, NoWait, ServiceWait, join_share, stage_share


def option(batch=1, latency_ms=10.0, throughput=None):
    return Option("v", batch, 1, latency_ms, throughput or 1000 * batch / latency_ms, 0.9, 1)


def late_share(option, rate, replicas, fixed_ms, budget_ms, rows=15_000, seed=3, dispersion=1.0):
    """Rows later than the budget. The adaptive rule: an idle replica takes what is queued once enough is, or the first row must go.

    dispersion: of the arrivals, whose gaps are Gamma-distributed
    """
    per_row_ms = (option.latency_ms - fixed_ms) / option.batch
    spare = replicas - 1.1 * rate / 1000 * per_row_ms
    needed = option.batch if spare <= 0 else min(option.batch, max(1, ceil(1.1 * rate / 1000 * fixed_ms / spare)))
    at = np.cumsum(np.random.default_rng(seed).gamma(1 / dispersion, 1000 * dispersion / rate, rows))
    free, took, first = [0.0] * replicas, np.empty(rows), 0
    while first < rows:
        now = max(heapq.heappop(free), at[first])
        queued = int(np.searchsorted(at, now, side="right")) - first
        while queued < needed and first + queued < rows:
            latest = at[first] + budget_ms - fixed_ms - per_row_ms * (queued + 1)
            if latest <= now or latest < at[first + queued]:
                now = max(now, latest)
                break
            now, queued = at[first + queued], queued + 1
        size = min(queued, option.batch)
        done = now + fixed_ms + per_row_ms * size
        took[first : first + size] = done - at[first : first + size]
        heapq.heappush(free, done)
        first += size
    return (took[rows // 20 :] > budget_ms + 1e-6).mean()


def test_no_wait_sizes_for_the_rate():
    sizing = NoWait()
    assert (sizing.demand(7.5), sizing.wait_ms(option(8), 7.5, 1), sizing.falls_with_replicas()) == (7.5, 0, False)


@pytest.mark.parametrize(
    ("fill", "kind", "wait_ms"),
    [(Fill.MEAN, Kind.MEAN, 30), (Fill.AVERAGE, Kind.MEAN, 15), (Fill.GAMMA, Kind.QUANTILE, 84.0595), (Fill.EXPONENTIAL, Kind.BOUND, 138.1551)],
)
def test_forms_of_the_fill(fill, kind, wait_ms):
    sizing = FillWait(fill)  # b = 4: three gaps of 10 ms
    assert sizing.kind is kind
    assert sizing.wait_ms(option(4), 100, 1) == pytest.approx(wait_ms, abs=1e-4)
    assert not sizing.falls_with_replicas()


def test_demand_of_fa2_is_rounded_after_the_headroom():
    assert FillWait(Fill.EXPONENTIAL, headroom_sigmas=1, whole=True).demand(20) == 24  # 20 + 4.47
    assert FillWait(headroom_sigmas=1).demand(25) == 30
    assert FillWait(Fill.MEAN).demand(7.4) == 7.4


def test_whole_waits_are_rounded_up():
    assert FillWait(Fill.EXPONENTIAL, whole=True).wait_ms(option(2), 100, 1) == 47  # 46.05


def test_service_wait_has_no_end_at_full_utilisation():
    sizing = ServiceWait()
    assert sizing.wait_ms(option(4, 40), 100, 1) == inf  # h = 100
    assert sizing.wait_ms(option(4, 40), 99, 1) < inf
    assert sizing.demand(100) == pytest.approx(110)


def test_service_wait_is_nothing_where_nothing_comes():
    assert ServiceWait().wait_ms(option(8), 0, 1) == 0


def test_a_rare_row_finds_a_free_replica():
    assert ServiceWait(0.99).wait_ms(option(1, 10), 0.5, 1) == 0  # busy 0.5 % of the time


@given(st.integers(1, 64), st.floats(0.5, 200), st.floats(0.05, 0.95), st.integers(1, 12), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_service_wait_falls_with_replicas(batch, latency_ms, utilization, replicas, share):
    sizing, chosen = ServiceWait(share), option(batch, latency_ms)
    rate = utilization * replicas * chosen.throughput
    waits = [sizing.wait_ms(chosen, rate, n) for n in range(replicas, replicas + 5)]
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(waits))


@given(st.integers(1, 64), st.floats(0.5, 200), st.floats(0.05, 0.95), st.integers(1, 6))
def test_service_wait_rises_with_the_share(batch, latency_ms, utilization, replicas):
    chosen = option(batch, latency_ms)
    rate = utilization * replicas * chosen.throughput
    waits = [ServiceWait(share).wait_ms(chosen, rate, replicas) for share in (0.5, 0.9, 0.99, 0.999)]
    assert waits == sorted(waits)


@pytest.mark.parametrize("share", [0.9, 0.99])
@pytest.mark.parametrize(("batch", "latency_ms", "fixed_ms"), [(1, 5, 5), (4, 5.4, 5), (16, 6.6, 5), (16, 18, 2), (64, 40, 20)])
@pytest.mark.parametrize("replicas", [1, 3])
def test_service_wait_keeps_its_promise(share, batch, latency_ms, fixed_ms, replicas):
    """Of the rows that get wait + latency as their deadline, no more than 1 - share are late (a third more for the draws)."""
    chosen, sizing = option(batch, latency_ms), ServiceWait(share, service_scv=0)
    for utilization in (0.15, 0.5, 0.88):
        rate = utilization * replicas * chosen.throughput
        budget_ms = chosen.latency_ms + sizing.wait_ms(chosen, rate, replicas)
        assert late_share(chosen, rate, replicas, fixed_ms, budget_ms) <= 1.33 * (1 - share)


@pytest.mark.parametrize(("batch", "latency_ms", "fixed_ms"), [(1, 5, 5), (4, 5.4, 5), (16, 18, 2), (64, 40, 20)])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("dispersion", [0.02, 0.2])
def test_service_wait_is_shorter_for_even_arrivals_and_keeps_its_promise(dispersion, replicas, batch, latency_ms, fixed_ms):
    chosen, even = option(batch, latency_ms), ServiceWait(0.99, service_scv=0, dispersion=dispersion)
    for utilization in (0.15, 0.5, 0.88):
        rate = utilization * replicas * chosen.throughput
        assert even.wait_ms(chosen, rate, replicas) <= ServiceWait(0.99, service_scv=0).wait_ms(chosen, rate, replicas)
        budget_ms = chosen.latency_ms + even.wait_ms(chosen, rate, replicas)
        assert late_share(chosen, rate, replicas, fixed_ms, budget_ms, dispersion=dispersion) <= 1.33 * 0.01


@given(batch=st.integers(1, 8), latency_ms=st.floats(1, 100), load=st.floats(0.01, 0.99), replicas=st.integers(1, 40), dispersion=st.floats(0, 2))
def test_the_tail_of_full_batches_is_that_of_the_station(batch, latency_ms, load, replicas, dispersion):
    one = option(batch, latency_ms)
    sizing = ServiceWait(dispersion=dispersion)
    rate = load * replicas * one.throughput
    full = Station(rate / batch, 1000 * batch / one.throughput, replicas, dispersion / batch, sizing.service_scv)
    overflow_ms = tail_quantile_ms(ggc_mean_ms(full), erlang_c(replicas, full.load), sizing.share)
    assert overflow_ms <= sizing.wait_ms(one, rate, replicas) * (1 + 1e-9)
    assert sizing._overflow_ms(batch, full.load, full.service_ms, replicas) == pytest.approx(overflow_ms, rel=1e-12)


def test_without_the_wait_the_promise_would_be_broken():
    chosen = option(4, 5.4)
    assert late_share(chosen, 0.88 * chosen.throughput, 1, 5, chosen.latency_ms) > 0.5


@pytest.mark.parametrize("wrong", [{"share": 1}, {"share": 0}, {"headroom": 0.9}, {"service_scv": -1}, {"dispersion": -1}])
def test_an_impossible_sizing_is_refused(wrong):
    with pytest.raises(ValueError, match="no sizing"):
        ServiceWait(**wrong)


def test_sizings_are_values():
    assert len({NoWait(), NoWait(), FillWait(), FillWait(), ServiceWait(), ServiceWait()}) == 3


def test_stage_shares_keep_the_end_to_end_share():
    rng = np.random.default_rng(4)
    share = stage_share(0.95, 3)
    stages = rng.random((200_000, 3))
    assert (stages <= share).all(axis=1).mean() >= 0.949
    same = np.repeat(stages[:, :1], 3, axis=1)  # wholly dependent
    assert (same <= share).all(axis=1).mean() >= 0.949


def test_join_waits_for_the_slowest():
    rng = np.random.default_rng(5)
    assert join_share(0.9, 1) == 0.9
    assert (rng.random((200_000, 4)).max(axis=1) <= join_share(0.9, 4)).mean() == pytest.approx(0.9, abs=0.004)
