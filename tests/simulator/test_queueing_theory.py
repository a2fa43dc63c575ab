"""The simulator against what queueing theory says, within confidence intervals of 99.9 % from batch means, all seeded.

Rows are sent one by one, batches are of one row, service times come from the truth alone: then a stage is M/G/c.

    M/M/1   Wq = rho / (mu - lam)                M/D/1   Wq = rho / (2 mu (1 - rho))
    M/M/c   Wq = C(c, a) / (c mu - lam), C: Erlang's formula, a = lam / mu
    Little  L = lam W, on every run
"""

from math import factorial

import numpy as np
import pytest

from autoscaler.planner.model import Share
from simulator.arrivals import Arrivals, Poisson
from simulator.network import Station, chain
from simulator.simulation import simulate
from simulator.truth import Noise, Truth
from tests.simulator.builders import AT_ONCE, fixed, option, scenario

SECONDS = 500
SLO_S = 1e6  # nothing expires, nothing hurries
T_999 = 3.65  # Student's t for 99.9 %, two-sided, 29 degrees of freedom


def waits(rate, replicas, noise, cv, service_s=0.01, seed=1):
    """Time in the stage less the mean service, by event in order of sending; the first tenth is left out as warm-up."""
    truth = Truth(fixed(1000 * service_s), cv, 0.0, noise)
    run = simulate(scenario({"a": (Share(option(), replicas),)}, arrivals=Arrivals(Poisson([rate] * SECONDS), SLO_S), truth=truth,
                            gathering=AT_ONCE), seed=seed)
    events = run.records.events(1)
    order = np.argsort(events.event)
    sojourn = (events.finish_s - events.sent_s)[order]
    return sojourn[len(sojourn) // 10 :] - service_s


def assert_mean(samples, expected):
    """The expected mean lies in the interval that the means of 30 stretches give."""
    means = np.array([part.mean() for part in np.array_split(samples, 30)])
    half = T_999 * means.std(ddof=1) / np.sqrt(len(means))
    assert abs(means.mean() - expected) < half, f"{means.mean():.6f} +- {half:.6f}, theory says {expected:.6f}"
    assert half < 0.35 * expected  # or the test would say nothing


def erlang_c(servers, load):
    last = load**servers / factorial(servers) * servers / (servers - load)
    return last / (sum(load**n / factorial(n) for n in range(servers)) + last)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_mean_wait_of_m_m_1(rho):
    assert_mean(waits(100 * rho, 1, Noise.EXPONENTIAL, 1.0), rho / (100 - 100 * rho))


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_mean_wait_of_m_d_1(rho):
    assert_mean(waits(100 * rho, 1, Noise.LOG_NORMAL, 0.0), rho / (2 * 100 * (1 - rho)))


def test_mean_wait_of_m_g_1_with_log_normal_noise():
    """Pollaczek-Khinchine: Wq = (1 + cv^2) / 2 * rho / (mu - lam)."""
    assert_mean(waits(70, 1, Noise.LOG_NORMAL, 0.5), (1 + 0.25) / 2 * 0.7 / (100 - 70))


@pytest.mark.parametrize("servers", [2, 4])
def test_mean_wait_of_m_m_c(servers):
    rate = 80.0 * servers
    expected = erlang_c(servers, rate / 100) / (100 * servers - rate)
    assert_mean(waits(rate / 2, servers, Noise.EXPONENTIAL, 1.0, service_s=0.02), 2 * expected)  # the same system at half the speed


def test_littles_law_on_a_pipeline_of_two_stages():
    """L, the integral of the events present over the time, is lam W exactly when both are counted over all events of the run."""
    run = simulate(scenario({"a": (Share(option(batch=4), 2),), "b": (Share(option(batch=4), 2),)}, counts=[120.0] * 60, truth=Truth(fixed(12.0), 0.3)))
    events = run.records.events(2)
    steps = np.concatenate([np.stack([events.sent_s, np.ones(len(events))]), np.stack([events.finish_s, -np.ones(len(events))])], axis=1)
    steps = steps[:, np.argsort(steps[0], kind="stable")]
    present = np.cumsum(steps[1])[:-1]
    span_s = steps[0, -1] - steps[0, 0]
    mean_present = (present * np.diff(steps[0])).sum() / span_s
    assert present.min() >= 0
    assert mean_present == pytest.approx(len(events) / span_s * (events.finish_s - events.sent_s).mean(), rel=1e-9)


def test_littles_law_of_the_queue_that_telemetry_sees():
    """The queue seen once a second, over seconds of a Poisson process, has the mean lam Wq."""
    run = simulate(scenario({"a": (Share(option(), 1),)}, arrivals=Arrivals(Poisson([70.0] * 600), SLO_S),
                            truth=Truth(fixed(10.0), 1.0, 0.0, Noise.EXPONENTIAL), gathering=AT_ONCE), seed=3)
    queued = np.array([second.queued["a"] for second in run.records.seconds[60:]], float)
    assert_mean(queued, 70 * 0.7 / (100 - 70))


def test_used_time_is_the_work_that_came():
    run = simulate(scenario({"a": (Share(option(units=2.0), 3),)}, counts=[100.0] * 50, truth=Truth(fixed(10.0)), gathering=AT_ONCE))
    work_s = run.tally.events * 0.010 * 2
    assert run.used_s == pytest.approx(work_s, rel=0.002)  # what runs over the trace's end is not in it
    assert run.held_s["cpu"] == pytest.approx(6.0 * 50)


def test_tandem_of_m_m_1_queues_by_burkes_theorem():
    """What leaves an M/M/1 is Poisson, so the second stage waits as if it were alone."""
    truth = Truth(fixed(10.0), 1.0, 0.0, Noise.EXPONENTIAL)
    run = simulate(scenario({"a": (Share(option(), 1),), "b": (Share(option(), 1),)}, graph=chain(Station("a"), Station("b")),
                            arrivals=Arrivals(Poisson([60.0] * SECONDS), SLO_S), truth=truth, gathering=AT_ONCE), seed=5)
    events = run.records.events(2)
    sojourn = (events.finish_s - events.sent_s)[np.argsort(events.event)]
    assert_mean(sojourn[len(sojourn) // 10 :], 2 / (100 - 60))
