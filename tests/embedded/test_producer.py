from itertools import islice, takewhile

import pytest

from jobs.producer import PERIOD_S, Load, due_at, send_times, turns
from jobs.shape import Shape

CLOSED = [Shape.STEADY, Shape.WAVE, Shape.BURSTS]


@pytest.mark.parametrize("shape", CLOSED)
def test_every_period_carries_the_mean_rate(shape):
    times = list(send_times(Load(100, shape, duration_s=3 * PERIOD_S)))
    assert len(times) == 3000
    assert sum(t < PERIOD_S for t in times) == 1000


def test_bursts_send_three_times_the_rate_for_two_seconds_of_ten():
    times = list(send_times(Load(100, Shape.BURSTS, duration_s=PERIOD_S)))
    assert sum(t < 2.0 for t in times) == 600  # 3 * 100 * 2
    assert sum(2.0 <= t < 4.0 for t in times) == 100  # 100 * (10 - 6) / 8 * 2


@pytest.mark.parametrize("shape", CLOSED)
def test_due_times_never_go_back(shape):
    times = [due_at(shape, 37.0, n) for n in range(2000)]
    assert times == sorted(times)
    assert times[0] == 0.0


def test_poisson_repeats_with_its_seed_and_keeps_the_rate():
    load = Load(200, Shape.POISSON, duration_s=20, seed=5)
    assert list(send_times(load)) == list(send_times(load))
    assert len(list(send_times(load))) == pytest.approx(4000, rel=0.1)


def test_count_and_duration_end_a_load_whichever_comes_first():
    assert len(list(send_times(Load(100, Shape.STEADY, duration_s=10, count=7)))) == 7
    assert len(list(send_times(Load(10, Shape.STEADY, duration_s=1, count=100)))) == 10


def test_a_load_without_end_or_rate_is_refused():
    with pytest.raises(ValueError, match="duration or a count"):
        Load(duration_s=None)
    with pytest.raises(ValueError, match="above 0"):
        Load(rate=0)


def test_each_sample_comes_once_before_any_comes_again():
    order = list(islice(turns(5, seed=3), 10))
    assert sorted(order[:5]) == sorted(order[5:]) == [0, 1, 2, 3, 4]
    assert order == list(islice(turns(5, seed=3), 10))
    assert list(takewhile(lambda n: n < 5, order)) == order
