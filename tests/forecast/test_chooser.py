"""Which candidate is used, by what it would have cost."""

import numpy as np
import pytest

from autoscaler.forecast.chooser import Choice, Chooser, cost
from autoscaler.forecast.forecaster import certain
from autoscaler.forecast.plain import Oracle, Persistence, WindowMax
from tests.forecast.builders import followed, poisson


class Says:
    """The same whatever comes."""

    def __init__(self, rate, horizon_s=10.0):
        self.rate, self.horizon_s = rate, horizon_s

    def forecast(self, now_s, rates):
        return certain(self.horizon_s, self.rate)


def test_too_little_costs_so_many_times_too_much():
    assert cost(10.0, 12.0, 19.0) == 38.0
    assert cost(12.0, 10.0, 19.0) == 2.0


def test_cold_it_takes_the_most_there_was_and_a_fifth_more():
    chooser = Chooser({"low": Says(1.0)}, Choice(least=3))
    assert chooser.forecast(5.0, [10.0, 50.0, 20.0]).at(0.5) == 60.0
    assert chooser.chosen is None


def test_the_cheapest_is_chosen_once_enough_is_settled():
    chooser = Chooser({"low": Says(8.0), "high": Says(13.0)}, Choice(least=3))
    load = np.full(100, 10.0)
    said = followed(chooser, load)
    assert [forecast.at(0.5) for forecast in said[:4]] == [12.0, 12.0, 12.0, 13.0]  # origins 10, 20, 30 are settled at 40
    assert chooser.costs() == pytest.approx({"low": 19 * 0.2, "high": 0.3})


def test_an_hour_of_another_load_changes_the_choice():
    chooser = Chooser({"low": Says(12.0), "high": Says(100.0)}, Choice(window=30))
    followed(chooser, np.full(600, 10.0))
    assert chooser.chosen == "low"
    load = np.concatenate((np.full(600, 10.0), np.full(600, 90.0)))
    followed(chooser, load, first=610)
    assert chooser.chosen == "high"


def test_two_that_are_alike_do_not_take_turns():
    """The second is better by 2 %, which is less than the margin."""
    second = Says(20.0)
    chooser = Chooser({"first": Says(20.2), "second": second}, Choice(least=3))
    followed(chooser, np.full(100, 10.0))
    assert chooser.chosen == "second"
    second.rate = 20.3
    followed(chooser, np.full(1100, 10.0), first=110)
    assert chooser.costs()["first"] < chooser.costs()["second"]
    assert chooser.chosen == "second"


def test_ties_go_to_the_first_named():
    chooser = Chooser({"simple": Persistence(), "complicated": WindowMax(60)}, Choice(least=3))
    followed(chooser, np.full(200, 10.0))
    assert chooser.chosen == "simple"


def test_who_knows_the_future_is_chosen():
    load = poisson(30, 2000)
    chooser = Chooser({"persistence": Persistence(), "window_max": WindowMax(120), "oracle": Oracle(load)})
    followed(chooser, load)
    assert chooser.chosen == "oracle"
    assert chooser.costs()["oracle"] == 0.0


def test_different_horizons_cannot_be_compared():
    with pytest.raises(ValueError, match=r"\[10.0, 20.0\]"):
        Chooser({"a": Says(1.0), "b": Says(1.0, 20.0)})
    with pytest.raises(ValueError, match=r"\[\]"):
        Chooser({})


def test_nothing_is_chosen_of_a_load_without_events():
    chooser = Chooser({"a": Persistence()}, Choice(least=3))
    assert followed(chooser, np.zeros(200))[-1].at(0.99) == 0.0
    assert chooser.costs() == {}
