from functools import partial
from itertools import count

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.queue import Run, runs_of
from operators.waiting import Waiting

ADD = st.tuples(st.just("add"), st.lists(st.integers(0, 12), min_size=1, max_size=9))
TAKE = st.tuples(st.just("take"), st.integers(1, 15))
ASIDE = st.tuples(st.just("set aside"), st.tuples(st.integers(0, 13), st.integers(1, 9)))
OWED = st.tuples(st.just("take aside"), st.integers(1, 5))
EXPIRE = st.tuples(st.just("expire"), st.integers(0, 13))
WITHDRAW = st.tuples(st.just("withdraw"), st.integers(0, 13))
GIVE_UP = st.tuples(st.just("give up"), st.sets(st.integers(0, 12), max_size=5))


def add(waiting, request, deadlines, keep=False):
    for run in runs_of(request, np.array(deadlines, float), 0.0, np.full(len(deadlines), keep)):
        waiting.add(run)


def named(runs):
    return [(run.request, int(row)) for run in runs for row in run.rows]


def test_rows_set_aside_come_after_all_others():
    waiting = Waiting()
    add(waiting, "a", [1, 5])
    add(waiting, "b", [2, 9])
    waiting.set_aside(3, 9)
    assert (waiting.hopeful, waiting.aside.rows, len(waiting)) == (2, 2, 4)
    assert named(waiting.take(9)) == [("a", 1), ("b", 1)]
    assert waiting.first() is None
    assert waiting.first_deadline() == 1
    assert sorted(named(waiting.take_aside(9))) == [("a", 0), ("b", 0)]
    assert len(waiting) == 0


def test_rows_set_aside_still_expire_unless_they_are_kept():
    waiting = Waiting()
    add(waiting, "a", [1])
    add(waiting, "b", [2], keep=True)
    waiting.set_aside(3, 9)
    assert named(waiting.expired(3)) == [("a", 0)]
    assert waiting.first_deadline(sheddable=True) is None
    assert named(waiting.discard(lambda run: run.request == "b")) == [("b", 0)]


@settings(deadline=None)
@given(st.lists(ADD | TAKE | ASIDE | OWED | EXPIRE | WITHDRAW | GIVE_UP, max_size=40))
def test_it_is_two_sorted_lists(steps):
    waiting, hopeful, aside, numbers = Waiting(), [], [], count()  # (deadline, request, row), sorted as they must leave
    for step, value in steps:
        if step == "add":
            request = next(numbers)
            add(waiting, request, value)
            hopeful = sorted([*hopeful, *((deadline, request, row) for row, deadline in enumerate(value))])
        elif step == "take":
            assert sorted(named(waiting.take(value))) == sorted(row[1:] for row in hopeful[:value])
            del hopeful[:value]
        elif step == "take aside":
            assert sorted(named(waiting.take_aside(value))) == sorted(row[1:] for row in aside[:value])
            del aside[:value]
        elif step == "set aside":
            before, most = value
            waiting.set_aside(before, most)
            early = min(most, sum(row[0] < before for row in hopeful))
            aside, hopeful = sorted([*aside, *hopeful[:early]]), hopeful[early:]
        elif step == "give up":
            places = sorted(place for place in value if place < len(hopeful))
            if places:
                waiting.give_up(np.array(places))
            aside = sorted([*aside, *(hopeful[place] for place in places)])
            hopeful = [row for place, row in enumerate(hopeful) if place not in places]
        else:
            gone = [row for row in hopeful + aside if row[0] < value]
            found = waiting.expired(value) if step == "expire" else waiting.withdraw(partial(Run.earlier, than=value))
            assert sorted(named(found)) == sorted(row[1:] for row in gone)
            hopeful, aside = ([row for row in rows if row[0] >= value] for rows in (hopeful, aside))
        assert (waiting.hopeful, waiting.aside.rows, len(waiting)) == (len(hopeful), len(aside), len(hopeful + aside))
        assert waiting.deadlines().tolist() == [row[0] for row in hopeful]
        assert waiting.first_deadline() == min((row[0] for row in hopeful + aside), default=None)


def test_values_come_in_the_order_of_deadlines():
    known = {"a": np.array([3, 4], np.float32), "b": np.array([5, 6], np.float32)}
    waiting = Waiting(known.get)
    add(waiting, "plain", [2])
    assert not waiting.valued
    add(waiting, "a", [9, 1])
    add(waiting, "b", [2, 9])
    assert waiting.valued
    deadlines, values = waiting.in_order()
    assert (deadlines.tolist(), values.tolist()) == ([1, 2, 2, 9, 9], [4, 1, 5, 3, 6])
    waiting.give_up(np.array([1, 3]))
    assert waiting.in_order()[1].tolist() == [4, 5, 6]
    assert sorted(named(waiting.aside.take(9))) == [("a", 0), ("plain", 0)]


def test_an_empty_queue_forgets_that_there_were_values():
    waiting = Waiting({"a": np.array([3], np.float32)}.get)
    add(waiting, "a", [1])
    waiting.take(1)
    add(waiting, "plain", [1])
    assert not waiting.valued
