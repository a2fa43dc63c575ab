from collections import deque

import numpy as np

from operators.grouping import GROUP_ROWS, GROUP_S, QUIET, Grouping
from operators.queue import runs_of


class Loop:
    """Turns are made by hand: each runs what was asked for before it."""

    def __init__(self):
        self.now, self.ready = 0.0, deque()

    def time(self):
        return self.now

    def call_soon(self, callback, *arguments):
        self.ready.append((callback, arguments))

    def turn(self, seconds=0.0):
        self.now += seconds
        for _ in range(len(self.ready)):
            callback, arguments = self.ready.popleft()
            callback(*arguments)


def made():
    loop, taken = Loop(), []
    return loop, Grouping(loop, lambda runs: taken.append([(run.request, len(run)) for run in runs])), taken


def add(grouping, name, rows=1):
    grouping.add(runs_of(name, np.full(rows, 1.0), 0.0))


def test_requests_that_come_while_the_loop_has_more_to_read_leave_together():
    loop, grouping, taken = made()
    for name in "abc":
        add(grouping, name)
        loop.turn()
        loop.turn()
    assert taken == []
    assert len(grouping) == 3
    for _ in range(QUIET):
        loop.turn()
    assert taken == [[("a", 1), ("b", 1), ("c", 1)]]
    assert len(grouping) == 0
    assert not loop.ready, "a loop without rows is left alone"


def test_a_single_request_waits_for_a_few_turns_only():
    loop, grouping, taken = made()
    add(grouping, "a")
    for _ in range(QUIET + 1):
        loop.turn()
    assert taken == [[("a", 1)]]


def test_none_waits_longer_than_the_limit_however_many_come():
    loop, grouping, taken = made()
    for number in range(20):
        add(grouping, number)
        loop.turn(GROUP_S / 4)
    assert taken[0] == [(number, 1) for number in range(5)]
    assert [request for runs in taken for request, _ in runs] == list(range(sum(map(len, taken))))


def test_as_many_as_are_worth_a_batch_wait_for_no_other():
    loop, grouping, taken = made()
    add(grouping, "few", 3)
    add(grouping, "many", GROUP_ROWS)
    assert taken == [[("few", 3), ("many", GROUP_ROWS)]]
    add(grouping, "next")
    for _ in range(2 * QUIET):
        loop.turn()
    assert taken[1:] == [[("next", 1)]]


def test_rows_that_nobody_waits_for_are_dropped():
    loop, grouping, taken = made()
    add(grouping, "a", 2)
    add(grouping, "b")
    assert [run.request for run in grouping.forget(lambda request: request == "a")] == ["a"]
    assert len(grouping) == 1
    grouping.flush()
    grouping.flush()
    assert taken == [[("b", 1)]]
    for _ in range(2 * QUIET):
        loop.turn()
    assert len(taken) == 1
