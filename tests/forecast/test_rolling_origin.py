"""Which origins are tried, with what, and what is learned when."""

import pytest

from autoscaler.forecast.rolling_origin import RollingOrigin


class Told:
    """All that a rolling origin asked for, in order. The rate of second k is k."""

    def __init__(self, horizon_s, step_s):
        self.heard = []
        self.past = RollingOrigin(horizon_s, self.attempt, self.learn, step_s)

    def attempt(self, now_s, rates):
        self.heard.append(("try", now_s, len(rates)))
        return now_s

    def learn(self, origin, came):
        self.heard.append(("learn", origin, came))

    def at(self, now_s, keep=100):
        self.heard.clear()
        seconds = int(now_s)
        self.past.advance(now_s, [float(second) for second in range(max(0, seconds - keep), seconds)])
        return list(self.heard)


def test_an_origin_is_tried_once_and_settled_when_its_horizon_is_over():
    told = Told(3.0, 5)
    assert told.at(4.9) == []
    assert told.at(5.0) == [("try", 5.0, 5)]
    assert told.at(5.5) == []
    assert told.at(7.9) == []
    assert told.at(8.0) == [("learn", 5.0, 7.0)]  # seconds 5, 6, 7


def test_what_was_missed_is_made_up_for_in_order_with_what_was_known_then():
    assert Told(3.0, 5).at(14.0) == [("try", 5.0, 5), ("learn", 5.0, 7.0), ("try", 10.0, 10), ("learn", 10.0, 12.0)]


def test_before_an_origin_is_tried_earlier_ones_are_settled():
    told = Told(10.0, 5)
    assert told.at(21.0) == [("try", 5.0, 5), ("try", 10.0, 10), ("learn", 5.0, 14.0), ("try", 15.0, 15), ("learn", 10.0, 19.0), ("try", 20.0, 20)]


def test_origins_that_the_rates_do_not_reach_back_to_are_forgotten():
    told = Told(3.0, 5)
    told.at(6.0)
    assert told.at(30.0, keep=10) == [("try", 25.0, 5), ("learn", 25.0, 27.0), ("try", 30.0, 10)]


@pytest.mark.parametrize("horizon_s", [0.5, 1.0])
def test_a_horizon_is_a_second_at_least(horizon_s):
    assert ("learn", 5.0, 5.0) in Told(horizon_s, 5).at(6.0)


def test_time_that_goes_back_starts_anew():
    told = Told(3.0, 5)
    told.at(21.0)
    assert told.at(6.0) == [("try", 5.0, 5)]
    assert told.at(9.0) == [("learn", 5.0, 7.0)]
