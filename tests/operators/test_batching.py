import numpy as np
import pytest

from operators.batching import AdaptiveRule, AimdRule, ArrivalRate, EarlyDropRule, FixedRule, Reason, Release, View, Wait
from operators.queue import EdfQueue, runs_of
from operators.service_time import ServiceTime


def view(queued, rate=0.0, batch_max=64, fixed_ms=None, per_row_ms=0.0, replicas=1, deadline_s=1.0, share=1.0):
    queue, service_time = EdfQueue(), ServiceTime()
    for run in runs_of("a", np.full(queued, deadline_s), 0.0):
        queue.add(run)
    if fixed_ms is not None:
        service_time.fixed_s, service_time.per_row_s = fixed_ms / 1e3, per_row_ms / 1e3
    return View(queue, batch_max, replicas, rate, service_time, share)


def test_an_idle_replica_starts_at_once_below_the_load_that_needs_batches():
    assert AdaptiveRule().decide(view(1, rate=10, fixed_ms=10), now=0) == Release(1, Reason.IDLE)  # one at a time: 100 rows/s


def test_a_full_batch_goes():
    assert AdaptiveRule().decide(view(100), now=0) == Release(64, Reason.FULL)


def test_it_waits_where_the_load_needs_more_rows():
    # 1000 rows/s * 1.1 with 10 ms a batch: b* = 11; the 8 missing ones take 8 ms
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10), now=0) == Wait(pytest.approx(0.008))


def test_two_replicas_need_half_the_batch():
    assert AdaptiveRule().decide(view(6, rate=1000, fixed_ms=10, replicas=2), now=0) == Release(6, Reason.IDLE)  # b* = 5.5


def test_the_first_row_is_not_made_late_by_waiting():
    # deadline 0.1 s, l(4) = 10 ms: from 0.09 s on it must go
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10, deadline_s=0.1), now=0.0899) == Wait(pytest.approx(0.09))
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10, deadline_s=0.1), now=0.0901) == Release(3, Reason.DEADLINE)


def test_a_stage_spends_only_its_share_of_the_deadline():
    half = view(3, rate=1000, fixed_ms=10, deadline_s=0.1, share=0.5)
    assert AdaptiveRule().decide(half, now=0.041) == Release(3, Reason.DEADLINE)  # 0.05 - 0.01


def test_overload_waits_for_the_largest_batch():
    assert isinstance(AdaptiveRule().decide(view(63, rate=1e6, fixed_ms=1, per_row_ms=1, deadline_s=9.0), now=0), Wait)


def test_fixed_rule():
    rule = FixedRule(size=4, max_wait_s=0.01)
    assert rule.decide(view(5), now=0) == Release(4, Reason.FULL)
    assert rule.decide(view(3), now=0.005) == Wait(0.01)
    assert rule.decide(view(3), now=0.01) == Release(3, Reason.DEADLINE)


def test_aimd_rule_grows_by_steps_and_halves():
    rule = AimdRule(step=2)
    rule.observe(1, late=0)
    rule.observe(3, late=0)
    assert rule.decide(view(9), now=0) == Release(5, Reason.FULL)
    rule.observe(5, late=1)
    assert rule.decide(view(9), now=0) == Release(2, Reason.FULL)


def test_early_drop_gives_up_what_a_batch_would_make_late():
    assert EarlyDropRule(target=8).decide(view(9, fixed_ms=10), now=1.0) == Release(8, Reason.FULL, drop_before=1.01)


def test_the_rate_is_of_the_last_half_second():
    rate = ArrivalRate()
    for step in range(3000):
        rate.add(1, now=step / 1000)
    assert rate.at(3.0) == pytest.approx(1000, rel=0.01)
    assert rate.at(6.0) < 5
