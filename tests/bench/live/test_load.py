"""A trace in less time and at another rate."""

import itertools

import pytest

from bench.live.load import Load, Punctual, compressed, load, measured_on, poisson
from bench.published import DATA


def test_seconds_of_the_trace_become_one_by_their_mean_and_the_rest_is_left_out():
    assert compressed([1, 3, 10, 20, 7], 2) == (2.0, 15.0)
    assert compressed([1, 3], 1) == (1.0, 3.0)
    with pytest.raises(ValueError, match="the time factor is 0"):
        compressed([1], 0)


def test_rates_are_multiplied_and_the_slice_cut():
    made = load("s", [1, 3, 10, 20, 30, 50], 2, 3.0, seconds=2)
    assert made == Load("s", 2, 3.0, (6.0, 45.0))
    assert (made.seconds, made.peak, made.mean, made.start(1)) == (2, 45.0, 25.5, 6.0)
    with pytest.raises(ValueError, match="4 s are asked of slice s, which has 3"):
        load("s", [1, 3, 10, 20, 30, 50], 2, 3.0, seconds=4)


def test_events_come_at_the_rate_of_each_second_and_the_same_with_a_seed():
    times = poisson((1000.0, 0.0, 3000.0), 7)
    assert all(before <= after for before, after in itertools.pairwise(times))
    counts = [sum(second <= at < second + 1 for at in times) for second in range(3)]
    assert counts[0] == pytest.approx(1000, abs=5 * 1000 ** 0.5)
    assert counts[1] == 0
    assert counts[2] == pytest.approx(3000, abs=5 * 3000 ** 0.5)
    assert times == poisson((1000.0, 0.0, 3000.0), 7)
    assert times != poisson((1000.0, 0.0, 3000.0), 8)


def test_the_warm_up_goes_before_at_the_first_seconds_rate():
    times = Load("s", 1, 1.0, (500.0,) * 10 + (2000.0,)).times_s(4, 1)
    assert sum(at < 4 for at in times) == pytest.approx(2000, abs=5 * 2000 ** 0.5)
    assert sum(at >= 14 for at in times) == pytest.approx(2000, abs=5 * 2000 ** 0.5)


def test_a_sender_is_late_by_when_it_asks_for_the_next_event():
    clock = iter([100.0, 100.6, 101.3, 103.0])  # asked for the first at 100; sent the first until 100.6, the second until 101.3, the third until 103
    times = Punctual((0.5, 1.5, 2.0, 9.0), lambda: next(clock))
    assert list(times) == [0.5, 1.5, 2.0, 9.0]
    assert times.late_s == pytest.approx([0.1, 0.0, 1.0])


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_the_window_is_long_enough_for_runs_of_five_minutes():
    made = load("window", measured_on(), 2, 1.0)
    assert made.seconds == 330
    assert made.peak > 4 * made.start(10)  # it holds a surge
