from itertools import count

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.queue import EdfQueue, runs_of

ADD = st.tuples(st.just("add"), st.lists(st.integers(0, 12), min_size=1, max_size=9), st.booleans())
TAKE = st.tuples(st.just("take"), st.integers(1, 15), st.none())
EXPIRE = st.tuples(st.just("expire"), st.integers(0, 13), st.none())


def add(queue, request, deadlines, keep=False):
    for run in runs_of(request, np.array(deadlines, float), 0.0, np.full(len(deadlines), keep)):
        queue.add(run)


def named(runs):
    return [(run.request, int(row)) for run in runs for row in run.rows]


def test_the_earliest_deadline_comes_first_across_requests():
    queue = EdfQueue()
    add(queue, "a", [5, 1, 9])
    add(queue, "b", [2, 6])
    assert sorted(named(queue.take(3))) == [("a", 0), ("a", 1), ("b", 0)]  # deadlines 5, 1 and 2
    assert len(queue) == 2
    assert queue.first_deadline() == 6


def test_ties_go_to_who_came_first():
    queue = EdfQueue()
    add(queue, "a", [3, 3])
    add(queue, "b", [3, 3])
    assert named(queue.take(3)) == [("a", 0), ("a", 1), ("b", 0)]


def test_a_whole_request_in_order_is_one_range_of_its_bytes():
    queue = EdfQueue()
    add(queue, "a", range(100))
    (run,) = queue.take(60)
    assert run.adjacent
    assert run.rows.tolist() == list(range(60))


def test_kept_rows_do_not_expire():
    queue = EdfQueue()
    add(queue, "a", [1, 2], keep=True)
    add(queue, "b", [1, 5])
    assert named(queue.expired(4)) == [("b", 0)]
    assert queue.first_deadline(sheddable=True) == 5
    assert queue.first_deadline() == 1


def test_discarded_requests_are_gone():
    queue = EdfQueue()
    add(queue, "a", [1, 2])
    add(queue, "b", [1])
    assert named(queue.discard(lambda run: run.request == "a")) == [("a", 0), ("a", 1)]
    assert named(queue.take(9)) == [("b", 0)]


def test_a_long_request_leaves_by_deadline_in_pieces():
    queue, deadlines = EdfQueue(), np.random.default_rng(1).permutation(200)
    add(queue, "a", deadlines)
    taken = [run for _ in range(7) for run in queue.take(30)]
    assert [row for _, row in named(taken)] == deadlines.argsort().tolist()
    assert [due for run in taken for due in run.deadlines] == list(range(200))


def test_a_part_counts_rows_from_its_own_first_one():
    (run,) = runs_of("a", np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.0)
    part = run.part(1, 4).part(1, 3)
    assert (part.rows.tolist(), list(part.deadlines), len(part)) == ([2, 3], [3.0, 4.0], 2)
    assert (part.earlier(4.0), part.until(4.0)) == (1, 2)


def test_rows_that_must_be_kept_are_a_run_of_their_own():
    kept, rest = runs_of("a", np.array([3.0, 1.0, 2.0, 0.5]), 0.0, np.array([True, False, True, False]))
    assert (kept.keep, kept.rows.tolist(), list(kept.deadlines)) == (True, [2, 0], [2.0, 3.0])
    assert (rest.keep, rest.rows.tolist(), list(rest.deadlines)) == (False, [3, 1], [0.5, 1.0])


@given(st.lists(ADD | TAKE | EXPIRE, max_size=40))
def test_the_queue_is_a_sorted_list(steps):
    queue, rows, numbers = EdfQueue(), [], count()  # rows: (deadline, request, row, keep), sorted as they must leave
    for step, value, keep in steps:
        if step == "add":
            request = next(numbers)
            add(queue, request, value, keep)
            rows = sorted([*rows, *((deadline, request, row, keep) for row, deadline in enumerate(value))])
        elif step == "take":
            assert sorted(named(queue.take(value))) == sorted(row[1:3] for row in rows[:value])
            rows = rows[value:]
        else:
            gone = [row for row in rows if row[0] < value and not row[3]]
            assert sorted(named(queue.expired(value))) == sorted(row[1:3] for row in gone)
            rows = [row for row in rows if row not in gone]
        assert len(queue) == len(rows)
        assert queue.first_deadline() == (rows[0][0] if rows else None)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_a_request_that_keeps_some_rows_still_names_each_once(deadlines, keep):
    runs = runs_of("a", np.array(deadlines, float), 0.0, np.array(keep[: len(deadlines)]))
    assert sorted(named(runs)) == [("a", row) for row in range(len(deadlines))]
    assert all(list(run.deadlines) == sorted(run.deadlines) for run in runs)
