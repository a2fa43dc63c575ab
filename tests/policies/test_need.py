"""What must be carried: rates, the newsvendor's quantile, backlog and budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policies.need import backlog, budget, expected, newsvendor, present
from autoscaler.policies.policy import Forecast, StageState, State
from tests.policies.ladder import ladder


def test_newsvendor():
    assert newsvendor(19, 1) == pytest.approx(0.95)
    assert newsvendor(1, 1) == 0.5


@pytest.mark.parametrize("prices", [(0, 1), (1, 0), (-1, 1)])
def test_a_price_must_be_above_zero(prices):
    with pytest.raises(ValueError, match="above 0"):
        newsvendor(*prices)


def test_the_present_rate_is_the_mean_of_three_seconds_and_what_it_may_be():
    assert present((500.0, 90.0, 100.0, 110.0), 0.5) == (pytest.approx(100.0), False)
    assert present((90.0, 100.0, 110.0), 0.8413447) == (pytest.approx(100 + (100 / 3) ** 0.5, abs=1e-4), False)  # one sigma of the mean


def test_in_a_surge_only_the_newest_second_counts():
    rate, surge = present((100.0, 100.0, 200.0), 0.5)  # 200 > 133 + 3 * 11.5
    assert (rate, surge) == (pytest.approx(200.0), True)


def test_what_a_network_held_up_is_no_surge_when_it_comes():
    quiet = [100.0] * 20
    assert present((*quiet, 0.0, 0.0, 300.0), 0.5)[1] is False
    assert present((*quiet, 0.0, 0.0, 600.0), 0.5)[1] is True  # more than it can have held up
    assert present((*quiet, 90.0, 100.0, 200.0), 0.5)[1] is True  # chance is no gap


def test_nothing_seen_is_no_load():
    assert present((), 0.95) == (0.0, False)
    assert present((0.0, 0.0), 0.95) == (0.0, False)


def test_the_budget_is_what_the_pressed_events_have_left():
    spent = [float(number) for number in range(1, 101)]
    assert budget(1000.0, spent, 0.95) == 905.0
    assert budget(1000.0, [], 0.95) == 1000.0
    assert budget(1000.0, [990.0], 0.95) == 50.0  # hardly anything runs in so short a time


def test_events_that_no_plan_could_save_ask_for_none():
    assert budget(1000.0, [5000.0], 0.95) == 1000.0
    assert budget(1000.0, [100.0, 200.0, 990.0], 0.95, fastest_ms=20.0) == 800.0


def state(rate: float, *stages: StageState) -> State:
    return State(0.0, (rate,), {f"s{number}": stage for number, stage in enumerate(stages)})


def test_a_queue_in_order_is_no_backlog():
    # 100 events/s, 100 ms, one stage: 5 rows wait as they should
    problem, one = ladder(), {"s0": 1.0}
    assert backlog(problem, state(100.0, StageState((), queue=5)), one, 100.0) == 0.0
    assert backlog(problem, state(100.0, StageState((), queue=25)), one, 100.0) == pytest.approx(20.0)


def test_stages_drain_side_by_side_and_the_lag_comes_on_top():
    problem = ladder(stages=2)
    longest = backlog(problem, state(0.0, StageState((), queue=30, lag=7), StageState((), queue=90)), {"s0": 1.0, "s1": 3.0}, 100.0)
    assert longest == pytest.approx(30 + 7)  # 90 rows of 3 an event are 30 events too


def test_a_missing_forecast_expects_nothing():
    assert expected(None, 0.9) == 0.0
    assert expected(Forecast(10.0, {}), 0.9) == 0.0


def test_behind_the_highest_second_of_a_forecast_is_a_lower_rate():
    rate = expected(Forecast(10.0, {0.5: 100.0, 1.0: 140.0}), 0.75)
    assert rate + (2 * math.log(10)) ** 0.5 * rate**0.5 == pytest.approx(120.0)
    assert expected(Forecast(1.0, {0.5: 10.0, 1.0: 20.0}), 0.75) == pytest.approx(15.0)  # of one second there is nothing to choose


def test_the_window_grows_while_the_rate_stays():
    assert present((100.0,) * 60, 0.8413447)[0] == pytest.approx(100 + (100 / 48) ** 0.5, abs=1e-4)
    assert present((100.0,) * 60 + (130.0,) * 3, 0.5)[0] == pytest.approx(130.0)  # 130 is 4 sigma of three seconds above
    assert present((100.0,) * 60 + (90.0, 130.0, 98.0), 0.5)[0] == pytest.approx(100.0, abs=1.0)


@given(st.floats(5, 300), st.integers(0, 2**32 - 1))
def test_a_steady_rate_is_known_within_its_chance(rate, seed):
    rates = np.random.default_rng(seed).poisson(rate, 60).astype(float)
    level, surge = present(tuple(rates), 0.5)
    assert surge or abs(level - rate) <= 5 * (rate / 3) ** 0.5


def test_an_even_rate_is_known_better():
    even, random = present((20.0,) * 3, 0.95, 0.04), present((20.0,) * 3, 0.95)
    assert even[0] - 20 == pytest.approx((random[0] - 20) / 5)
