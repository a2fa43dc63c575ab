"""The figures of a run, from its records and from its tally."""

import numpy as np
import pytest

from autoscaler.planner.model import Share
from simulator.arrivals import Arrivals, Delays, Poisson, Stamps
from simulator.outcome import Outcome
from simulator.simulation import simulate
from simulator.sink import GATHERED
from simulator.statistics import statistics, violations_by_second
from simulator.tally import Tally
from simulator.truth import Truth
from tests.simulator.builders import at, events_of, fixed, option, scenario


def test_a_row_of_the_comparison():
    """One event in time, one late behind it: 30 ms each, sent together, 40 ms allowed."""
    run = simulate(scenario({"a": (Share(option(units=2.0, accuracy=0.8), 1),)}, arrivals=at(0.5, 0.5, 0.9, slo_s=0.04), truth=Truth(fixed(30.0))))
    row = statistics(run)
    assert (row.events, row.goodput) == (3, 2.0)
    assert (row.violation_share, row.late_share, row.lost_share, row.unavoidable_share) == pytest.approx((1 / 3, 1 / 3, 0, 0))
    assert (row.latencies.p50_s, row.latencies.p95_s) == pytest.approx((0.03, 0.06))
    assert (row.accuracy_answered, row.accuracy_all) == pytest.approx((0.8, 0.8))
    assert (row.allocated_s["cpu"], row.used_s) == pytest.approx((2.0, 2 * 0.09))


def test_percentiles_of_the_tally_are_within_a_percent_of_the_exact_ones():
    made = scenario({"a": (Share(option(batch=4), 1),)}, counts=[90.0] * 60, truth=Truth(fixed(30.0), 0.3))
    exact, near = statistics(simulate(made)).latencies, statistics(simulate(made, records=False)).latencies
    for name in ("p50_s", "p95_s", "p99_s"):
        assert getattr(exact, name) <= getattr(near, name) <= 1.01 * getattr(exact, name)


def test_an_unanswered_event_is_infinitely_late():
    tally = Tally()
    tally.add(np.array([0, 0, 2, 1], np.int8), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.9, 0.9, 0.0, 0.9]), np.zeros(4, bool))
    assert [tally.percentile_s(share) for share in (0.25, 0.75, 0.99)] == [pytest.approx(0.1, rel=0.01), pytest.approx(0.4, rel=0.01), float("inf")]


def test_what_the_network_ate_is_unavoidable():
    """A second allowed, 20 ms of service at least: with 0.99 s spent nobody can be in time, with 0.9 s all are."""
    made = scenario(arrivals=Arrivals(Stamps(np.arange(0.05, 2.0, 0.1)), 1.0, Delays([0.99, 0.9])), truth=Truth(fixed(20.0)))
    run = simulate(made)
    row = statistics(run)
    assert (row.violation_share, row.unavoidable_share) == pytest.approx((0.5, 0.5))
    assert violations_by_second(events_of(run), 2).tolist() == [1.0, 0.0]


def test_what_is_left_when_the_run_ends_is_unfinished():
    run = simulate(scenario({"a": (Share(option(), 1),)}, counts=[100.0] * 3, truth=Truth(fixed(100.0)), drain_s=1.0))
    answered = run.tally.outcomes[Outcome.IN_TIME] + run.tally.outcomes[Outcome.LATE]
    assert 37 <= answered <= 40  # ten a second for four seconds
    assert run.tally.outcomes[Outcome.UNFINISHED] == run.tally.events - answered


def test_memory_follows_what_is_in_flight():
    """15,000 events need no more room than those that are gathered before they are counted, and the few in flight."""
    run = simulate(scenario(arrivals=Arrivals(Poisson([100.0] * 150), 1.0)), records=False)
    assert run.tally.events > 14_000
    assert run.peak_rows <= 2 * GATHERED


def test_an_empty_trace_is_a_run():
    row = statistics(simulate(scenario(counts=[0.0] * 3)))
    assert (row.events, row.goodput, row.accuracy_answered) == (0, 0.0, None)
