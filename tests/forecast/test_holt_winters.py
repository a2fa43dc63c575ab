"""Level, trend, damping and season."""

import numpy as np
import pytest

from autoscaler.forecast.examples import Load, examples
from autoscaler.forecast.holt_winters import HoltWinters, Smoothing, fit, highest


def test_the_recursion_by_hand():
    # l = 20, b = 10 after two; x = 20: ahead 25, l = .5 * 20 + .5 * 25 = 22.5, b = .2 * 2.5 + .8 * .5 * 10 = 4.5; one ahead 22.5 + .5 * 4.5
    assert highest([10.0, 20.0, 20.0], Smoothing(0.5, 0.2, 0.5), 1) == pytest.approx(24.75)
    assert highest([10.0, 20.0, 20.0], Smoothing(0.5, 0.2, 0.5), 2) == pytest.approx(22.5 + (0.5 + 0.25) * 4.5)


@pytest.mark.parametrize("horizon_s", [10.0, 30.0])
def test_a_straight_ramp_is_met_exactly_without_damping(horizon_s):
    ramp = [float(second) for second in range(1, 601)]
    found = HoltWinters(Smoothing(0.3, 0.2, 1.0), horizon_s).forecast(600.0, ramp)
    assert found.at(0.5) == pytest.approx(600 + horizon_s)


def test_damping_promises_less_of_a_ramp():
    ramp = [float(second) for second in range(1, 601)]
    found = [HoltWinters(Smoothing(0.5, 0.2, phi)).forecast(600.0, ramp).at(0.5) for phi in (0.5, 0.8, 1.0)]
    assert found[0] < found[1] < found[2]


def test_a_falling_load_is_not_forecast_below_nothing():
    assert HoltWinters(Smoothing(0.9, 0.9, 1.0), 60.0).forecast(600.0, [float(second) for second in range(600, 0, -1)]).at(0.5) == 0.0


def test_a_season_is_foreseen():
    minute = [90.0] * 10 + [10.0] * 50
    found = HoltWinters(Smoothing(0.1, 0.02, 0.8, 0.3, 6)).forecast(600.0, minute * 10)
    assert found.at(0.5) == pytest.approx(90.0)
    assert HoltWinters(Smoothing(0.1, 0.02, 0.8)).forecast(600.0, minute * 10).at(0.5) < 40.0


def test_too_short_a_past_gives_its_maximum():
    assert HoltWinters().forecast(12.0, [3.0, 9.0, 4.0]).at(0.9) == 9.0
    assert HoltWinters(Smoothing(season=6)).forecast(110.0, [5.0, 8.0] * 55).at(0.9) == 8.0


@pytest.mark.parametrize("season", [0, 6])
def test_many_loads_at_once_are_each_as_alone(season):
    x = np.random.default_rng(1).uniform(0, 100, (5, 60))
    together = highest(list(x.T), Smoothing(season=season), 3)
    assert together == pytest.approx([float(highest(row.tolist(), Smoothing(season=season), 3)) for row in x])


def test_the_fit_takes_the_season_that_the_load_has():
    load = Load(np.tile([80.0] * 10 + [20.0] * 50, 40) + np.random.default_rng(1).poisson(5, 2400))
    assert fit(examples([load], 600, 10.0, 7), 10.0).smoothing.season in (6, 30)  # five minutes hold five of it


def test_the_fit_has_the_least_error_of_the_grid():
    load = Load(np.random.default_rng(2).poisson(50, 2400).astype(float))
    found = examples([load], 600, 10.0, 20)
    grid = (Smoothing(0.95, 0.3, 1.0), Smoothing(0.1, 0.02, 0.5))
    assert fit(found, 10.0, grid).smoothing == grid[1]  # noise about a level: the slow one
