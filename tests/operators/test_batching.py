from dataclasses import replace
from math import inf

import numpy as np
import pytest

from operators.batching import AdaptiveRule, AimdRule, ArrivalRate, EarlyDropRule, FixedRule, Reason, Release, SetAside, View, Wait
from operators.queue import runs_of
from operators.service_time import ServiceTime
from operators.waiting import Waiting
from tests.operators.builders import Simulated


def view(queued, rate=0.0, batch_max=64, fixed_ms=None, per_row_ms=0.0, replicas=1, deadline_s=1.0, share=1.0):
    queue, service_time = Waiting(), ServiceTime()
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
    # deadline 0.08 s, any batch 10 ms, its own and three to spare: from 0.04 s on it must go
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10, deadline_s=0.08), now=0.0399) == Wait(pytest.approx(0.04))
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10, deadline_s=0.08), now=0.0401) == Release(3, Reason.DEADLINE)


def test_rows_that_should_have_come_long_ago_are_not_waited_for():
    # b* = 11 rows come in 11 ms at that rate; four times as long after the first came, the rate is no more what it was
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10), now=0.0435) == Wait(pytest.approx(0.044))
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=10), now=0.0441) == Release(3, Reason.IDLE)


@pytest.mark.parametrize("before", [1_000, 5_000, 28_000])
def test_a_lone_row_after_a_sharp_drop_of_load_leaves_soon(before: int):
    rate, now = ArrivalRate(), 0.0
    for _ in range(2000):
        now += 0.001
        rate.add(before // 1000, now)
    alone = view(0, fixed_ms=1, per_row_ms=0.02)
    begun = now = now + 0.05
    rate.add(1, now)
    for run in runs_of("a", np.array([now + 0.5]), now):
        alone.queue.add(run)
    while isinstance(asked := AdaptiveRule().decide(replace(alone, rate=rate.at(now)), now), Wait):
        assert asked.until > now
        now = asked.until
    assert asked == Release(1, Reason.IDLE)
    assert now - begun <= 0.0151


def test_a_stage_spends_only_its_share_of_the_deadline():
    half = view(3, rate=1000, fixed_ms=10, deadline_s=0.1, share=0.5)
    assert AdaptiveRule().decide(half, now=0.011) == Release(3, Reason.DEADLINE)  # 0.05 - 4 * 0.01


def test_overload_waits_for_nothing():
    # at 1 ms a row, 1100 rows/s are more than any batch keeps up with: batches grow by themselves
    assert AdaptiveRule().decide(view(3, rate=1000, fixed_ms=1, per_row_ms=1, deadline_s=9.0), now=0) == Release(3, Reason.IDLE)


def deadlines(*groups, **settings):
    """groups: (rows, deadline)."""
    made = view(0, **settings)
    for number, (rows, deadline_s) in enumerate(groups):
        for run in runs_of(number, np.full(rows, deadline_s), 0.0):
            made.queue.add(run)
    return made


def decided(rule, stage, now=0.0):
    """As a stage asks."""
    release = rule.decide(stage, now)
    while isinstance(release, SetAside):
        stage.queue.set_aside(*release)
        release = rule.decide(stage, now)
    return release


def test_a_batch_is_no_larger_than_lets_its_first_row_be_in_time():
    # l(b) = 10 + b ms: 30 rows take 40 ms, and 20 the 30 ms that are left
    assert AdaptiveRule().decide(deadlines((1, 0.03), (29, 1.0), fixed_ms=10, per_row_ms=1), now=0) == Release(20, Reason.DEADLINE)


def test_rows_that_would_keep_batches_too_small_for_the_load_are_set_aside():
    # 700 rows/s * 1.1 need b* = ceil(0.77 * 10 / 0.23) = 34; l(34) = 44 ms, and only 30 are left
    pressed = deadlines((5, 0.03), (60, 1.0), rate=700, fixed_ms=10, per_row_ms=1)
    assert AdaptiveRule().decide(pressed, now=0) == SetAside(pytest.approx(0.044), 31)  # of 65 rows, at least 34 stay
    assert decided(AdaptiveRule(), pressed) == Release(60, Reason.IDLE, aside=4)
    assert (pressed.queue.hopeful, pressed.queue.aside.rows) == (60, 5)


def test_what_cannot_be_in_time_is_set_aside_and_fills_up_the_batch_of_the_rest():
    stage = deadlines((2, 0.005), (2, 1.0), fixed_ms=10)
    assert decided(AdaptiveRule(), stage) == Release(2, Reason.IDLE, aside=2)
    assert [run.request for run in stage.queue.take(2)] == [1]
    assert decided(AdaptiveRule(), stage) == Release(0, Reason.IDLE, aside=2)
    assert [run.request for run in stage.queue.take_aside(2)] == [0]


def test_rows_set_aside_do_not_spend_what_the_others_need():
    # b* = 1, l(1) = 11 ms; of 90.1 ms three of them are to spare: 57.1 ms are 47 rows, of which 2 are those in time
    stage = deadlines((60, 0.005), (2, 0.0901), fixed_ms=10, per_row_ms=1)
    assert decided(AdaptiveRule(), stage) == Release(2, Reason.IDLE, aside=45)


def test_where_nothing_can_be_saved_batches_are_as_large_as_ever():
    stage = view(100, fixed_ms=10, deadline_s=0.005)
    assert decided(AdaptiveRule(), stage) == Release(0, Reason.FULL, aside=64)
    assert decided(AdaptiveRule(), view(9, fixed_ms=10, deadline_s=0.005)) == Release(0, Reason.IDLE, aside=9)


def test_at_the_end_of_the_queue_a_small_batch_saves_what_a_needed_one_would_make_late():
    # the load needs 64 rows, 74 ms; nobody has those, but 20 of the 40 rows can be in time
    overload = view(40, rate=5000, fixed_ms=10, per_row_ms=1, deadline_s=0.0305)
    assert decided(AdaptiveRule(), overload) == Release(20, Reason.IDLE)
    assert overload.queue.aside.rows == 20


def test_rows_set_aside_are_not_starved_in_overload():
    rule, stage = AdaptiveRule(), view(0, rate=5000, fixed_ms=10, per_row_ms=1)
    stage.queue.add(runs_of("late", np.full(3, 0.0), 0.0)[0])
    stage.queue.set_aside(1.0, 3)
    now, turns = 60.5, []  # half a second after its patience
    for number in range(32):
        stage.queue.add(runs_of(number, np.full(1, now + 1), now)[0])
        turns.append(rule.decide(stage, now).aside)
    assert turns == [*[0] * 15, 3] * 2
    assert not any(AdaptiveRule().decide(stage, now=59.5).aside for _ in range(32))


def test_the_margin_is_for_what_batches_have_taken():
    times = [0.010, 0.014, 0.010, 0.006] * 20
    steady, shaky = view(4, deadline_s=0.0115, rate=0), view(4, deadline_s=0.0115, rate=0)
    for seconds in times:
        steady.service_time.observe(4, 0.010)
        shaky.service_time.observe(4, seconds)
    assert AdaptiveRule().decide(steady, now=0) == Release(4, Reason.IDLE)
    assert shaky.service_time.within(4) == pytest.approx(0.0125, rel=0.1)  # 10 ms, and 1.25 times the mean deviation of 2 ms
    assert AdaptiveRule().decide(shaky, now=0).n < 4


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


def test_early_drop_gives_up_what_its_window_would_make_late():
    # l(b) = 10 + b ms: a window of 8 takes 18 ms, so the row that has 17 ms goes; of the rest 8 can be in time
    stage = deadlines((1, 0.017), (9, 0.02), fixed_ms=10, per_row_ms=1)
    assert EarlyDropRule(target=8).decide(stage, now=0) == Release(8, Reason.FULL, drop_before=0.02)


def test_early_drops_windows_are_shorter_at_the_end_of_the_queue():
    # six rows take 16 ms, and five, four or three that begin later less: the first that can is the one with 14 ms, in a window of 4
    stage = deadlines((2, 0.012), (4, 0.014), fixed_ms=10, per_row_ms=1)
    assert EarlyDropRule(target=8).decide(stage, now=0) == Release(4, Reason.IDLE, drop_before=0.014)


def test_early_drop_gives_up_all_where_none_can_be_in_time():
    assert EarlyDropRule(target=8).decide(view(9, fixed_ms=10), now=1.0) == Release(8, Reason.IDLE, drop_before=float("inf"))
    assert EarlyDropRule(target=8).decide(view(9, fixed_ms=10), now=0.5) == Release(8, Reason.FULL)


def test_the_rate_is_of_the_last_half_second():
    rate = ArrivalRate()
    for step in range(3000):
        rate.add(1, now=step / 1000)
    assert rate.at(3.0) == pytest.approx(1000, rel=0.01)
    assert rate.at(6.0) < 5


def test_where_order_is_kept_nothing_is_set_aside():
    rule = AdaptiveRule(in_order=True)
    # l(b) = 10 + b ms, 64 rows at most: the first are lost already, and a batch of as many as there are gets through fastest
    assert rule.decide(deadlines((5, 0.005), (20, 1.0), fixed_ms=10, per_row_ms=1), now=0) == Release(25, Reason.DEADLINE)
    # 700 rows/s need 34 at a time: 20 that would save the first are too few
    assert rule.decide(deadlines((5, 0.03), (60, 1.0), rate=700, fixed_ms=10, per_row_ms=1), now=0) == Release(64, Reason.DEADLINE)
    assert rule.decide(deadlines((1, 0.03), (29, 1.0), fixed_ms=10, per_row_ms=1), now=0) == Release(20, Reason.DEADLINE)


def emitted_in_time(in_order):
    """Of rows that leave in order: 0.6 s of twice the load that a replica can take, then half of it for 3 s; each is due in 0.2 s."""
    stage = Simulated(batch=16, rule=AdaptiveRule(in_order=in_order))
    ends_at, sent = inf, []
    coming = [number * 0.01 for number in range(60)] + [0.6 + number * 0.04 for number in range(75)]

    def end():
        nonlocal ends_at
        stage.now, (number,) = ends_at, stage.running
        rows = stage.rows_of(number)
        stage.finish(number, 0.0)
        done.update(dict.fromkeys(rows, stage.now))
        ends_at = stage.now + seconds() if stage.running else inf

    def seconds():
        (batch,) = stage.running.values()
        return 0.01 + 0.001 * batch.rows  # 16 rows in 26 ms: 615 rows/s

    done = {}
    for request, at in enumerate(coming):
        while ends_at <= at:
            end()
        stage.now = at
        stage.arrive(request, 12, 0.2)
        sent += [(request, row) for row in range(12)]
        if stage.running and ends_at == inf:
            ends_at = at + seconds()
    while ends_at < inf:
        end()
    leaves, in_time = 0.0, 0
    for request, row in sent:
        leaves = max(leaves, done[request, row])
        in_time += leaves <= coming[request] + 0.2
    return in_time / len(sent)


def test_a_row_set_aside_would_hold_back_those_behind_it():
    assert emitted_in_time(in_order=True) > emitted_in_time(in_order=False) + 0.03
