"""Which runs say something."""

import pytest

from bench.live.validity import LATE_SENDS, STARVED, Machine, machine
from bench.live.watch import Sample, scheduled, throttled
from bench.live.watch import machine as of_machine


def samples(*seconds):
    """Of each second: used, waited, others, stolen."""
    found = [Sample(0.0, 0.0, 0.0, 0.0, 0.0)]
    for used_s, waited_s, others_s, stolen_s in seconds:
        last = found[-1]
        found.append(Sample(last.at_s + 1, last.used_s + used_s, last.waited_s + waited_s, last.busy_s + used_s + others_s, last.stolen_s + stolen_s))
    return found


def judged(seconds, late_s=(0.0,) * 100):
    return machine(samples(*seconds), late_s, 100.0, cores=2, budget=1.0)


CALM = (0.5, 0.05, 0.6, 0.0)


def test_a_calm_run_is_valid():
    found = judged([CALM] * 100)
    assert found.reasons() == ()
    assert found.starved == 0
    assert found.waited == pytest.approx(0.05 / 0.55)
    assert found.others == pytest.approx(0.6)


@pytest.mark.parametrize(("second", "starved"), [
    ((0.5, 0.3, 1.3, 0.0), True),   # the replicas went without for 0.3 of 0.8 s, and the others took more than their core
    ((0.5, 0.3, 0.9, 0.0), False),  # they waited, but for each other: the others kept to their core
    ((0.5, 0.1, 1.4, 0.0), False),  # the others took more, but the replicas had what they wanted
    ((0.0, 0.0, 1.9, 0.0), False),  # nothing was wanted
])
def test_a_second_is_starved_when_replicas_wait_and_the_others_take_more_than_is_left(second, starved):
    assert judged([CALM, second]).starved == (0.5 if starved else 0.0)


def test_reasons_are_named():
    starving = (0.5, 0.3, 1.3, 0.0)
    assert judged([starving] * 6 + [CALM] * 94).reasons() == ("in 6.0% of the seconds the replicas were starved of cores",)
    assert judged([starving] * 5 + [CALM] * 95).starved == STARVED
    assert judged([starving] * 5 + [CALM] * 95).reasons() == ()
    assert judged([(0.5, 0.0, 0.6, 0.1)] * 10).reasons() == ("the host took 5.0% of the cores",)
    assert judged([CALM] * 10, (0.0,) * 98 + (0.026,) * 2).reasons() == ("2.0% of the events were sent late",)
    assert Machine(0.0, 0.0, 0.5, 0.0, LATE_SENDS).reasons() == ()
    with pytest.raises(ValueError, match="nobody watched"):
        machine(samples(), (), 100.0, 2, 1.0)


def test_the_kernel_s_words():
    assert scheduled("1500000000 250000000 99\n") == (1.5, 0.25)
    assert throttled("nr_periods 10\nnr_throttled 3\nthrottled_time 2000000000\n") == 2.0
    assert throttled("usage_usec 7\nnr_throttled 3\nthrottled_usec 3000000\n") == 3.0
    assert throttled("nr_periods 0\n") == 0.0
    busy_s, stolen_s = of_machine("cpu  100 200 300 4000 50 6 7 80 9 9\ncpu0 1 2 3\n")
    assert busy_s * 80 == pytest.approx(stolen_s * 613)  # 100 + 200 + 300 + 6 + 7 ticks beside 80
