"""What policies see and when, and the forecasts that need no training."""

import pytest

from autoscaler.forecast.plain import Oracle, Persistence, WindowMax
from autoscaler.planner.model import Share
from simulator.arrivals import Arrivals, Delays, Even
from simulator.proxy import Gathering
from simulator.scenario import Control
from simulator.simulation import simulate
from simulator.truth import Truth
from tests.simulator.builders import Scripted, at, fixed, option, scenario

COUNTS = [10.0, 20.0, 30.0, 40.0]


def seen(control_of, **fields):
    policy = Scripted({}, fields.pop("interval_s", 1.0))
    fields.setdefault("arrivals", Arrivals(Even(COUNTS), 1.0))
    simulate(scenario(**fields), control_of(policy))
    return policy


def test_a_policy_sees_each_second_when_it_is_over():
    states = seen(Control).states
    assert [state.now_s for state in states] == [1.0, 2.0, 3.0]
    assert states[2].rates == (10.0, 20.0, 30.0)
    assert states[2].stages["a"].rate == 30.0


def test_figures_come_with_the_observation_delay_but_what_runs_is_known():
    states = seen(lambda policy: Control(policy, delay_s=1.5)).states
    assert [state.rates for state in states] == [(), (), (10.0,)]
    assert [pool.ready for pool in states[0].stages["a"].pools] == [2]


def test_decisions_come_at_the_policys_interval():
    assert [state.now_s for state in seen(Control, interval_s=0.5).states] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]


def test_starting_replicas_are_told_apart():
    more = (Share(option(), 5),)
    policy = Scripted({1.0: {"a": more}})
    simulate(scenario(arrivals=Arrivals(Even([10.0] * 6), 1.0)), Control(policy))
    pools = [state.stages["a"].pools[0] for state in policy.states]
    assert [(pool.ready, pool.starting) for pool in pools] == [(2, 0), (2, 3), (2, 3), (5, 0), (5, 0)]


def test_busy_violations_and_queue_of_a_stage_that_is_too_small():
    state = seen(Control, initial={"a": (Share(option(), 1),)}, arrivals=Arrivals(Even([20.0] * 4), 0.5), truth=Truth(fixed(100.0))).states[-1]
    stage = state.stages["a"]
    assert stage.busy == pytest.approx(1.0)
    assert stage.violations == pytest.approx(26 / 36, abs=0.06)  # 10 in time, and of those that wait 26 set aside
    assert stage.queue == pytest.approx(3 * 10, abs=2)  # 20 a second come, 10 go


def test_what_the_network_spent_is_told():
    states = seen(Control, arrivals=Arrivals(Even([3.0] * 3), 1.0, Delays([0.1, 0.2, 0.1]))).states
    assert states[0].spent_ms == pytest.approx((100.0, 100.0, 100.0))
    assert states[1].spent_ms == pytest.approx((200.0, 200.0))  # the third of them comes 33 ms after the second's end
    assert seen(Control, arrivals=at(0.5, 1.5)).states[0].spent_ms == ()


@pytest.mark.parametrize(("forecaster", "expected"), [
    (Persistence(2.0), [10, 20, 30]),
    (WindowMax(2, 2.0), [10, 20, 30]),
    (Oracle(COUNTS, 2.0), [30, 40, 40]),
])
def test_forecasts(forecaster, expected):
    forecasts = seen(lambda policy: Control(policy, forecaster)).forecasts
    assert [forecast.at(0.5) for forecast in forecasts] == expected


def test_window_max_remembers():
    assert WindowMax(3).forecast(9.0, (5.0, 9.0, 2.0, 3.0)).at(0.99) == 9.0
    assert WindowMax(2).forecast(9.0, (5.0, 9.0, 2.0, 3.0)).at(0.99) == 3.0
    assert Persistence().forecast(0.0, ()).quantiles == {}


def test_decision_time_is_counted_apart():
    ticks = iter(range(1000))
    run = simulate(scenario(arrivals=Arrivals(Even(COUNTS), 1.0)), Control(Scripted({})), clock=lambda: float(next(ticks)))
    assert (run.decisions, run.decision_s) == (3, 3.0)


def test_rates_from_before_the_trace_are_known():
    states = seen(lambda policy: Control(policy, past=(5.0, 6.0)), interval_s=0.5).states
    assert [state.rates for state in states[:3]] == [(5.0, 6.0), (5.0, 6.0, 10.0), (5.0, 6.0, 10.0)]


def test_the_true_rate_of_a_subtask_is_known_where_its_time_per_row_is():
    states = seen(Control, gathering=Gathering(row_s=0.002)).states
    assert states[-1].stages["a"].true_rate == pytest.approx(500.0)
    assert seen(Control).states[-1].stages["a"].true_rate is None
