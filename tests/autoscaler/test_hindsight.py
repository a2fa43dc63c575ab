"""Whether forecasts came true, and what the sidecar tells Prometheus of that and of its plans."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.control.hindsight import Hindsight, Outcome, judged
from autoscaler.forecast.forecaster import certain
from autoscaler.graph.pipeline import Budget
from autoscaler.loop import ControlLoop
from autoscaler.metrics import SidecarMetrics
from autoscaler.policies.policy import Forecast
from tests.autoscaler.builders import pipeline
from tests.autoscaler.test_loop import metric, with_service
from tests.autoscaler.world import world

LIKELY = Forecast(3.0, {0.5: 80.0, 0.99: 100.0})


@pytest.mark.parametrize(("came", "outcome"), [
    (140.0, Outcome.WITHIN),  # 1.1 * 100 + 3 * sqrt(100) = 140
    (141.0, Outcome.UNDER),
    (29.0, Outcome.WITHIN),  # 2 * 29 + 3 * sqrt(58) = 80.8
    (28.0, Outcome.OVER),  # 2 * 28 + 3 * sqrt(56) = 78.4
    (0.0, Outcome.OVER),
])
def test_a_forecast_is_off_when_more_than_chance_is_between(came, outcome):
    assert judged(LIKELY, came) is outcome


def test_a_forecast_is_judged_by_the_highest_second_of_its_horizon_and_no_sooner():
    hindsight = Hindsight()
    assert hindsight.look(10.4, [100] * 10, LIKELY) == []
    for second, rates in ((11, [100, 500]), (12, [100, 500, 90]), (13, [100, 500, 90, 90])):
        assert hindsight.look(second + 0.4, [100] * 9 + rates, Forecast(3.0, {})) == []
    assert hindsight.look(14.4, [100] * 9 + [100, 500, 90, 90, 900], Forecast(3.0, {})) == [Outcome.UNDER]  # of 500, 90, 90
    assert hindsight.look(15.4, [100] * 15, Forecast(3.0, {})) == []


def test_what_comes_after_the_horizon_does_not_count():
    hindsight = Hindsight()
    hindsight.look(10.0, [100] * 10, LIKELY)
    assert hindsight.look(14.0, [100] * 10 + [90, 90, 90, 900], Forecast(3.0, {})) == [Outcome.WITHIN]


def test_of_one_second_the_first_forecast_counts_and_a_gap_leaves_it_out():
    hindsight = Hindsight()
    hindsight.look(10.0, [100] * 10, LIKELY)
    hindsight.look(10.5, [100] * 10, certain(3.0, 1e6))
    assert hindsight.look(20.0, [90.0] * 20, Forecast(3.0, {})) == [Outcome.WITHIN]
    hindsight.look(30.0, [100] * 10, LIKELY)
    assert hindsight.look(40.0, [90.0] * 4, Forecast(3.0, {})) == []


@given(st.lists(st.floats(0, 1e5), min_size=30, max_size=60), st.integers(1, 12))
def test_who_knows_what_comes_is_never_off(counts, horizon_s):
    hindsight, found = Hindsight(), []
    for second in range(1, len(counts)):
        coming = counts[second : second + horizon_s]
        found += hindsight.look(float(second), counts[:second], certain(horizon_s, max(coming)))
    assert len(found) == len(counts) - horizon_s - 2  # the last ones are not over
    assert set(found) <= {Outcome.WITHIN}


def count(at, outcome):
    return metric(at.loop, f"sluice_autoscaler_forecasts_total{{pipeline=digits,outcome={outcome}}}") or 0


def test_a_load_that_jumps_is_more_than_its_past_and_one_that_ends_is_less():
    at = world()  # forecasts the most of the last 30 s
    at.run(20, 100)
    assert (count(at, "under"), count(at, "over")) == (0, 0)
    assert count(at, "within") > 0
    at.run(15, 320)
    assert count(at, "under") > 0
    assert count(at, "over") == 0
    at.run(25, 20)
    assert count(at, "over") > 0


def feasible(loop):
    return metric(loop, "sluice_autoscaler_plan_feasible{pipeline=digits}")


def test_a_load_beyond_the_budget_has_no_plan_and_says_so_until_it_is_gone():
    at = world()
    at.run(8, 100)
    assert feasible(at.loop) == 1
    at.run(8, 3000)  # 4 cores carry 720
    assert feasible(at.loop) == 0
    at.silent = True
    at.run(8, 100)
    assert feasible(at.loop) is None  # nothing is decided


def test_of_a_policy_that_does_not_say_whether_what_it_chooses_carries_the_load():
    at = world("hpa")
    at.run(20, 100)
    assert feasible(at.loop) == 1
    at.run(30, 3000)  # 4 cores carry 720
    assert feasible(at.loop) == 0


def test_the_age_of_the_source_s_offsets_is_shown():
    at = world()
    at.run(3, 100)
    age = metric(at.loop, "sluice_autoscaler_offsets_age_seconds{pipeline=digits}")
    assert age > 1e6  # that world's clock is long past


def test_the_reactive_rule_says_that_the_budget_does_not_carry_the_load():
    async def scenario(service, actuator):
        loop = ControlLoop(pipeline(budget=Budget(replicas=1)), actuator, SidecarMetrics("digits"))
        await loop.step(999.0)
        assert feasible(loop) is None  # not known yet
        for second, arrivals in enumerate([100, 100, 5000, 5000, 5000]):
            loop.take(service.telemetry(second, arrivals=arrivals), 1000.0 + second)
            await loop.step(1000.0 + second)
            await asyncio.sleep(0)
            if second == 1:
                assert feasible(loop) == 1
        assert feasible(loop) == 0

    with_service(scenario)
