"""The proxy's rule, as the connector's `SendQueue` states it, row by row."""

import numpy as np

from operators import hosted
from simulator.inbox import Coming, Handed
from simulator.loop import Loop
from simulator.proxy import CONTROL_S, GATHER_MAX, GATHER_S, PLENTY_ROWS, WINDOW_ROWS, Gathering, Proxy, gathered
from simulator.rows import COLUMNS, Rows


class Bench:
    """A proxy whose requests are only noted: (time, rows)."""

    def __init__(self, settings, times=None):
        self.loop, self.sent, rows = Loop(), [], Rows(1)
        self.inbox = Handed() if times is None else Coming(rows)
        self.proxy = Proxy(self.loop, self.inbox, settings, lambda request, now_s: self.sent.append((round(now_s, 6), len(request.slots))))
        if times is not None:
            self.inbox.add(np.zeros((COLUMNS, len(times))), np.array(times))
            self.proxy.poll(0.0)

    def answered(self, rows, now_s):
        self.loop.run(now_s)
        self.proxy.unanswered -= rows
        self.proxy.answered(self.proxy.hint, now_s, self.proxy.aside)

    def hand(self, rows, now_s):
        self.loop.run(now_s)
        self.inbox.add([np.arange(rows)], rows, now_s)
        self.proxy.poll(now_s)


def test_rows_go_at_once_when_nothing_is_unanswered():
    bench = Bench(Gathering(), [0.1])
    bench.loop.run(1.0)
    assert bench.sent == [(0.1, 1)]


def test_rows_gather_for_the_linger_of_the_first_while_some_are_unanswered():
    bench = Bench(Gathering(linger_s=0.002), [0.1, 0.1005, 0.101, 0.1024, 0.103])
    bench.loop.run(1.0)
    assert bench.sent == [(0.1, 1), (0.1025, 3), (0.105, 1)]  # 0.1005 + 2 ms, 0.103 + 2 ms


def test_a_full_micro_batch_does_not_wait():
    bench = Bench(Gathering(max_rows=2, linger_s=1.0), [0.1, 0.2, 0.3, 0.4])
    bench.loop.run(0.35)
    assert bench.sent == [(0.1, 1), (0.3, 2)]


def test_the_service_says_how_many_rows_are_worth_gathering():
    bench = Bench(Gathering(linger_s=1.0), [0.1, 0.2, 0.3, 0.4])
    bench.proxy.hint = 2
    bench.loop.run(0.35)
    assert bench.sent == [(0.1, 1), (0.3, 2)]
    assert [gathered(rate) for rate in (0.0, 400.0, 1001.0, 1e9)] == [1, 1, 3, GATHER_MAX]


def test_while_the_service_has_plenty_rows_gather_for_longer_into_larger_requests():
    bench = Bench(Gathering(linger_s=0.002))
    bench.hand(PLENTY_ROWS, 0.1)
    bench.proxy.hint = 2
    bench.hand(3, 0.2)
    assert bench.sent == [(0.1, PLENTY_ROWS)]
    bench.loop.run(0.3)
    assert bench.sent[1:] == [(0.208, 3)]
    bench.hand(8, 0.3)
    assert bench.sent[2:] == [(0.3, 8)]


def test_what_gathered_for_longer_goes_once_there_are_no_longer_plenty():
    bench = Bench(Gathering(linger_s=0.002))
    bench.hand(PLENTY_ROWS, 0.1)
    bench.hand(3, 0.2)
    bench.answered(1, 0.205)
    assert bench.sent[1:] == [(0.205, 3)]


def test_answers_let_out_what_waits():
    bench = Bench(Gathering(linger_s=1.0), [0.1, 0.2, 0.3])
    bench.answered(1, 0.25)
    assert bench.sent == [(0.1, 1), (0.25, 1)]
    bench.answered(1, 0.28)
    bench.loop.run(0.4)
    assert bench.sent[2:] == [(0.3, 1)]


def test_the_window_bounds_what_is_unanswered():
    bench = Bench(Gathering(window=4, linger_s=0.0))
    bench.hand(10, 0.1)
    bench.loop.run(0.2)
    assert bench.sent == [(0.1, 4)]
    bench.answered(2, 0.3)
    assert bench.sent[1:] == [(0.3, 2)]


def test_rows_that_the_service_set_aside_take_no_place_in_the_window():
    bench = Bench(Gathering(window=4, linger_s=0.0))
    bench.hand(10, 0.1)
    bench.proxy.aside = 3
    bench.answered(0, 0.2)
    assert bench.sent == [(0.1, 4), (0.2, 3)]


def test_a_backlog_that_is_late_as_a_whole_gets_no_more_than_the_default_window():
    bench = Bench(Gathering(window=WINDOW_ROWS, linger_s=0.0, max_rows=WINDOW_ROWS))
    bench.hand(2 * WINDOW_ROWS, 0.1)
    bench.proxy.aside = WINDOW_ROWS
    bench.answered(0, 0.2)
    assert bench.sent == [(0.1, WINDOW_ROWS)]


def test_another_window_holds_at_once():
    bench = Bench(Gathering(window=4, linger_s=0.0))
    bench.hand(10, 0.1)
    bench.loop.run(0.2)
    bench.proxy.resize(9, 0.2)
    assert bench.sent == [(0.1, 4), (0.2, 5)]
    bench.proxy.resize(4, 0.3)
    bench.answered(5, 0.4)
    assert bench.sent[2:] == []  # 4 are unanswered still


def test_a_window_nearly_used_up_is_not_taken_in_dribbles():
    bench = Bench(Gathering(window=8, linger_s=0.0))
    bench.hand(20, 0.1)
    bench.answered(1, 0.2)
    assert bench.sent == [(0.1, 8)]  # room for 1 of the quarter of the window that is worth it
    bench.answered(1, 0.3)
    assert bench.sent[1:] == [(0.3, 2)]


def test_nothing_is_sent_while_the_job_is_rescaled():
    bench = Bench(Gathering(), [0.1, 0.2])
    bench.proxy.stall(0.5)
    bench.loop.run(1.0)
    assert bench.sent == [(0.5, 2)]


def test_events_that_come_later_may_go_before_those_on_the_way():
    inbox = Coming(Rows(1))
    inbox.add(np.full((COLUMNS, 2), 1.0), np.array([0.2, 1.4]))
    inbox.add(np.full((COLUMNS, 1), 2.0), np.array([1.1]))
    assert (inbox.first_s(), inbox.nth_s(2), inbox.nth_s(3)) == (0.2, 1.1, 1.4)
    assert inbox.here(1.2) == 2


def test_handed_rows_are_taken_in_order_across_their_parts():
    inbox = Handed()
    inbox.add([np.array([1, 2, 3])], 3, 0.1)
    inbox.add([np.array([4, 5])], 2, 0.2)
    assert inbox.take(2).tolist() == [1, 2]
    assert (inbox.first_s(), inbox.here(0.2)) == (0.1, 3)
    assert inbox.take(2).tolist() == [3, 4]
    assert inbox.take(1).tolist() == [5]
    assert inbox.first_s() == float("inf")


def test_the_service_gathers_by_the_same_constants():
    assert (GATHER_S, GATHER_MAX, CONTROL_S, WINDOW_ROWS) == (hosted.GATHER_S, hosted.GATHER_MAX, hosted.CONTROL_S, hosted.WINDOW_ROWS)


def test_a_subtask_sends_no_more_than_its_own_time_allows():
    settings = Gathering(max_rows=2, linger_s=0.0, row_s=0.01)
    one, two = Bench(settings, [0.1] * 4), Bench(settings, [0.1] * 4)
    two.proxy.subtasks = 2
    for bench in (one, two):
        bench.loop.run(1.0)
    assert one.sent == [(0.1, 2), (0.12, 2)]  # 2 rows take 0.02 s
    assert two.sent == [(0.1, 2), (0.11, 2)]  # of two subtasks, half
