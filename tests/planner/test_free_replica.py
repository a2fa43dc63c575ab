"""Waits for a free replica, against known values and a simulation of the same queue."""

from math import exp, inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.free_replica import (
    Station,
    bulk_mean_ms,
    erlang_b,
    erlang_c,
    ggc_mean_ms,
    mdc_mean_ms,
    mgc_mean_ms,
    mmc_mean_ms,
    mmc_quantile_ms,
    tail_quantile_ms,
)


def waits_ms(rng, rate, servers, gaps, services):
    """First come first served. gaps in units of their mean."""
    at, free, waits = np.cumsum(gaps) * 1000 / rate, [0.0] * servers, np.empty(len(gaps))
    for i, (arrival, service) in enumerate(zip(at.tolist(), services.tolist(), strict=True)):
        first = min(range(servers), key=free.__getitem__)
        begin = max(arrival, free[first])
        free[first] = begin + service
        waits[i] = begin - arrival
    return waits[len(waits) // 10 :]


def batch_means(values, batches=20):
    """Mean and the half width of its 99.9 % interval (t with 19 degrees: 3.88), from means of long batches."""
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return means.mean(), 3.88 * means.std(ddof=1) / np.sqrt(batches)


def test_erlang_b_of_a_known_table():
    assert erlang_b(10, 5) == pytest.approx(0.018385, abs=1e-6)
    assert erlang_b(1, 1) == 0.5


def test_erlang_c_of_a_known_table():
    assert erlang_c(2, 1) == pytest.approx(1 / 3)  # 2 servers at half load
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(3, 3) == 1


@given(st.integers(1, 50), st.floats(0.01, 0.99))
def test_more_servers_wait_less(servers, utilization):
    load = utilization * servers
    assert erlang_c(servers + 1, load) <= erlang_c(servers, load) <= 1
    less = mmc_mean_ms(Station(load, 1000, servers + 1))
    assert less <= mmc_mean_ms(Station(load, 1000, servers))


def test_mm1_in_closed_form():
    station = Station(80, 10, 1)  # rho = 0.8
    assert mmc_mean_ms(station) == pytest.approx(40)  # rho S / (1 - rho)
    assert mmc_quantile_ms(station, 0.99) == pytest.approx(50 * log(0.8 / 0.01))
    assert mmc_quantile_ms(station, 0.15) == 0  # a fifth does not wait


def test_md1_in_closed_form():
    station = Station(80, 10, 1)
    assert mdc_mean_ms(station) == pytest.approx(20)  # rho S / (2 (1 - rho))
    assert mgc_mean_ms(station) == pytest.approx(20)
    assert ggc_mean_ms(station) == pytest.approx(20)


def test_mg1_is_pollaczek_khinchine():
    station = Station(60, 10, 1, service_scv=0.4)
    assert mgc_mean_ms(station) == pytest.approx(0.6 * 10 * 1.4 / (2 * 0.4))
    assert ggc_mean_ms(station) == pytest.approx(mgc_mean_ms(station))
    spread = Station(60, 10, 1, service_scv=4)
    assert mgc_mean_ms(spread) == pytest.approx(0.6 * 10 * 5 / (2 * 0.4))


def test_md1_quantile_against_its_exact_distribution():
    """Erlang's sum for P(W <= t), rho = 0.7: the exponential tail is up to 10 % above the exact 99th percentile."""
    rho, t = 0.7, 0.0

    def cdf(t):
        total, factorial = 0.0, 1.0
        for k in range(int(t) + 1):
            factorial *= k or 1
            total += (rho * (k - t)) ** k / factorial * exp(-rho * (k - t))
        return (1 - rho) * total

    while cdf(t) < 0.99:
        t += 0.001
    mean = mdc_mean_ms(Station(700, 1, 1))
    assert t < tail_quantile_ms(mean, rho, 0.99) < 1.1 * t


@given(st.integers(1, 8), st.floats(0.05, 0.98), st.floats(0, 1))
def test_kimura_lies_between_constant_and_exponential(servers, utilization, scv):
    station = Station(utilization * servers, 1000, servers, service_scv=scv)
    slack = 1e-9 * mmc_mean_ms(station)
    assert mdc_mean_ms(station) - slack <= mgc_mean_ms(station) <= mmc_mean_ms(station) + slack


def test_too_much_load_never_ends():
    station = Station(200, 10, 2)
    assert {f(station) for f in (mmc_mean_ms, mdc_mean_ms, mgc_mean_ms, ggc_mean_ms)} == {inf}
    assert mmc_quantile_ms(station, 0.5) == bulk_mean_ms(station, 3) == tail_quantile_ms(inf, 1, 0.9) == inf


def test_nobody_waits_where_nobody_comes():
    station = Station(0, 10, 2)
    assert [f(station) for f in (mmc_mean_ms, mdc_mean_ms, mgc_mean_ms, ggc_mean_ms)] == [0, 0, 0, 0]


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_an_impossible_station_is_refused(wrong):
    with pytest.raises(ValueError, match="no station"):
        Station(*wrong)


@pytest.mark.parametrize(("servers", "utilization"), [(1, 0.6), (3, 0.8)])
def test_mmc_against_a_simulation(servers, utilization):
    rng, n = np.random.default_rng(5), 120_000
    station = Station(100 * utilization * servers, 10, servers)
    waits = waits_ms(rng, station.rate, servers, rng.exponential(1, n), rng.exponential(10, n))
    mean, half = batch_means(waits)
    assert abs(mean - mmc_mean_ms(station)) < half
    share, width = batch_means((waits > mmc_quantile_ms(station, 0.95)).astype(float))
    assert abs(share - 0.05) < width


@pytest.mark.parametrize(("servers", "utilization"), [(2, 0.7), (4, 0.85)])
def test_mdc_within_three_per_cent_of_a_simulation(servers, utilization):
    rng, n = np.random.default_rng(6), 120_000
    station = Station(100 * utilization * servers, 10, servers)
    mean, half = batch_means(waits_ms(rng, station.rate, servers, rng.exponential(1, n), np.full(n, 10.0)))
    assert abs(mean - mdc_mean_ms(station)) < half + 0.03 * mean


@pytest.mark.parametrize(("servers", "scv"), [(2, 0.3), (4, 0.5)])
def test_mgc_within_five_per_cent_of_a_simulation(servers, scv):
    rng, n = np.random.default_rng(7), 120_000
    station = Station(80 * servers, 10, servers, service_scv=scv)
    mean, half = batch_means(waits_ms(rng, station.rate, servers, rng.exponential(1, n), rng.gamma(1 / scv, 10 * scv, n)))
    assert abs(mean - mgc_mean_ms(station)) < half + 0.05 * mean


@pytest.mark.parametrize(("servers", "batch"), [(1, 4), (2, 8)])
def test_smooth_arrivals_wait_no_longer_than_allen_cunneen_says(servers, batch):
    rng, n = np.random.default_rng(8), 60_000
    station = Station(85 * servers, 10, servers, 1 / batch, 0)
    mean, half = batch_means(waits_ms(rng, station.rate, servers, rng.gamma(batch, 1 / batch, n), np.full(n, 10.0)))
    assert mean - half < ggc_mean_ms(station) < 3 * mean  # regular arrivals queue less than the formula says
    assert ggc_mean_ms(station) < mmc_mean_ms(station) / 2  # and less than Poisson ones


@pytest.mark.parametrize(("servers", "group", "slack"), [(1, 5, 0.0), (2, 5, 0.1), (4, 3, 0.25)])
def test_bulk_against_a_simulation(servers, group, slack):
    rng, groups = np.random.default_rng(9), 24_000
    station = Station(70 * servers, 10, servers)
    gaps = np.zeros((groups, group))
    gaps[:, 0] = rng.exponential(group, groups)
    mean, half = batch_means(waits_ms(rng, station.rate, servers, gaps.ravel(), np.full(groups * group, 10.0)))
    assert abs(mean - bulk_mean_ms(station, group)) < half + slack * mean
    assert mean > 1.3 * mgc_mean_ms(station)  # what Poisson rows would give is far too little
