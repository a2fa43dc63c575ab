"""Forecasters that remember, in the simulator."""

import numpy as np

from simulator.arrivals import Arrivals, Even
from simulator.scenario import Control
from simulator.simulation import simulate
from tests.forecast.builders import MAKE, followed
from tests.simulator.builders import Scripted, scenario

COUNTS = [10.0] * 120 + [40.0] * 120


def heard(forecaster):
    policy = Scripted({}, interval_s=10.0)
    simulate(scenario(arrivals=Arrivals(Even(COUNTS), 1.0)), Control(policy, forecaster))
    return policy.forecasts


def test_each_run_starts_with_what_it_was_given_and_leaves_it_alone():
    chooser = MAKE["chooser"]()
    first, again = heard(chooser), heard(chooser)
    assert first == again
    assert chooser.chosen is None


def test_a_policy_hears_what_a_back_test_says():
    assert heard(MAKE["chooser"]()) == followed(MAKE["chooser"](), np.array(COUNTS))[: len(COUNTS) // 10 - 1]
