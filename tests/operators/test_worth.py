"""Rows that cannot all be in time are given up by value, and by nothing else than deadlines where they are worth the same."""

from itertools import combinations
from math import inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators import requests
from operators.actions import Status
from operators.batching import AdaptiveRule, GiveUp, Reason, Release, SetAside, View
from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import encode
from operators.queue import runs_of
from operators.service_time import ServiceTime
from operators.waiting import Waiting
from operators.worth import done_by, least_worth
from tests.operators.builders import Simulated

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=8)
"""(how many more can be done by its deadline than by the one before, value) of each row."""
queued = st.lists(st.lists(st.tuples(st.integers(1, 30), st.sampled_from([0, 0.5, 1, 1, 1, 2, 7])), min_size=1, max_size=9), min_size=1, max_size=5)
"""Requests of rows: (deadline in 10 ms, value)."""
times = st.tuples(st.sampled_from([0.0, 5.0, 20.0]), st.sampled_from([0.0, 1.0, 4.0]), st.sampled_from([0.0, 2.0]))
"""Milliseconds: of a batch, of each of its rows, to spare."""
rules = st.tuples(st.integers(1, 12), st.integers(1, 3), st.sampled_from([0.0, 50.0, 500.0]), times)
"""Largest batch, replicas, rows/s, times."""


def feasible(kept, done):
    return all(sum(one <= place for one in kept) <= done[place] for place in kept)


@given(rows)
def test_what_is_kept_can_be_done_and_nothing_is_worth_more(said):
    values, done = np.array([value for _, value in said], np.float32), np.cumsum([more for more, _ in said])
    lost = least_worth(values, done).tolist()
    kept = [place for place in range(len(said)) if place not in lost]
    assert feasible(kept, done)
    possible = [list(chosen) for size in range(len(said) + 1) for chosen in combinations(range(len(said)), size) if feasible(chosen, done)]
    assert values[kept].sum() == max(values[chosen].sum() for chosen in possible)
    assert len(kept) == max(map(len, possible))


def test_of_equals_the_most_urgent_goes():
    assert least_worth(np.array([1, 2, 1, 1], np.float32), np.array([1, 2, 3, 3])).tolist() == [0]
    assert least_worth(np.array([1, 1, 1], np.float32), np.array([1, 2, 3])).tolist() == []


def learned(fixed_ms, per_row_ms, margin_ms=0.0):
    time = ServiceTime()
    time.fixed_s, time.per_row_s, time.margin_s = fixed_ms / 1e3, per_row_ms / 1e3, margin_ms / 1e3
    return time


def test_full_batches_then_as_large_a_one_as_fits():
    due = np.array([-1.0, 0.010, 0.011, 0.020, 0.045, 0.052])
    # l(b) = 10 + b ms, at most 10 rows: nothing in 10 ms, a row in 11, a batch each 20; 5 ms left are too few, 12 are enough for 2
    assert done_by(due, 0.0, learned(10, 1), 10, 1).tolist() == [0, 0, 1, 10, 20, 22]
    assert done_by(due, 0.0, learned(10, 1), 10, 3).tolist() == [0, 0, 3, 30, 60, 66]
    assert done_by(due + 0.002, 0.0, learned(10, 1, 2), 10, 1).tolist() == [0, 0, 1, 10, 20, 22]


def test_times_without_a_part():
    assert done_by(np.array([0.015, inf]), 0.0, learned(10, 0), 4, 1)[0] == 4
    assert done_by(np.array([0.015]), 0.0, learned(0, 5), 4, 1).tolist() == [3]
    assert done_by(np.array([0.015]), 0.0, learned(0, 0), 4, 1)[0] > 1e6


def view_of(requests, rule, values=True):
    batch_max, replicas, rate, of_time = rule
    known = {number: np.array([value for _, value in request], np.float32) for number, request in enumerate(requests)}
    queue = Waiting(known.get if values else None)
    for number, request in enumerate(requests):
        for run in runs_of(number, np.array([due / 100 for due, _ in request]), 0.0):
            queue.add(run)
    return View(queue, batch_max, replicas, rate, learned(*of_time))


def decided(view):
    """As a stage asks."""
    rule, kinds = AdaptiveRule(), []
    while True:
        release = rule.decide(view, 0.0)
        kinds.append(type(release))
        if isinstance(release, SetAside):
            view.queue.set_aside(*release)
        elif isinstance(release, GiveUp):
            assert len(release.places)
            view.queue.give_up(release.places)
        else:
            return release, kinds


def rows_of(runs, requests):
    """(deadline, value) of each row."""
    return sorted((requests[run.request][row][0] / 100, requests[run.request][row][1]) for run in runs for row in run.rows.tolist())


@settings(deadline=None)
@given(queued, rules, st.sampled_from([0.0, 1.0, 3.0]))
def test_equal_values_change_nothing(requests, rule, value):
    same = [[(due, value) for due, _ in request] for request in requests]
    with_values, without = view_of(same, rule), view_of(same, rule, values=False)
    assert decided(with_values) == decided(without)
    names = [[(run.request, run.rows.tolist()) for run in view.queue.take_aside(99)] for view in (with_values, without)]
    assert names[0] == names[1]
    names = [[(run.request, run.rows.tolist()) for run in view.queue.take(99)] for view in (with_values, without)]
    assert names[0] == names[1]


@settings(deadline=None, max_examples=300)
@given(queued, rules)
def test_nothing_is_set_aside_where_giving_up_what_is_worth_less_would_do(requests, rule):
    view = view_of(requests, rule)
    decided(view)
    aside = rows_of(view.queue.take_aside(999), requests)
    kept = rows_of(view.queue.take(999), requests)
    assert len(aside) + len(kept) == sum(map(len, requests))

    def together(rows):
        due = np.array([deadline for deadline, _ in sorted(rows)])
        return bool((np.arange(1, len(due) + 1) <= done_by(due, 0.0, view.service_time, view.batch_max, view.replicas)).all())

    for deadline, value in aside:
        if any(other < value for _, other in kept):
            assert not together([(deadline, value), *(row for row in kept if row[1] >= value)])


@settings(deadline=None)
@given(queued, rules)
def test_deadlines_decide_what_leaves_first(requests, rule):
    view = view_of(requests, rule)
    release, _ = decided(view)
    assume(isinstance(release, Release))
    kept = sorted(set(view.queue.in_order()[0].tolist())) if view.queue.hopeful else []
    taken = view.queue.take(release.n)
    assert sum(map(len, taken)) == release.n
    left = [view.queue.earliest()] if view.queue.hopeful else []
    assert all(due <= later for run in taken for due in run.deadlines for later in left)
    assert not kept or not taken or min(due for run in taken for due in run.deadlines) == kept[0]


def test_a_valuable_row_is_served_in_a_small_batch_rather_than_make_way_for_cheap_ones():
    # l(b) = 10 + b ms; the first is due in 12 ms, so that 2 rows fit; at 700 rows/s without values it would make way for a batch of 34
    requests = [[(1.2, 9)], [(100, 1)] * 60]
    release, kinds = decided(view_of(requests, (64, 1, 700.0, (10.0, 1.0, 0.0))))
    assert (release, kinds) == (Release(2, Reason.DEADLINE), [Release])
    cheap = [[(1.2, 1)], [(100, 9)] * 60]
    assert decided(view_of(cheap, (64, 1, 700.0, (10.0, 1.0, 0.0))))[1][0] is GiveUp


def test_what_cannot_all_be_done_is_seen_before_it_is_urgent():
    # l(10) = 20 ms: by 0.1 s 50 rows can be done, of 60; the ten cheap ones came first and are as urgent as the others
    requests = [[(10, 1)] * 10, [(10, 2)] * 50]
    view = view_of(requests, (10, 1, 0.0, (10.0, 1.0, 0.0)))
    assert decided(view)[1] == [GiveUp, Release]
    assert rows_of(view.queue.take_aside(99), requests) == [(0.1, 1)] * 10


VALUES = np.array([10, 10] + [1] * 8, np.float32)


def overloaded(values):
    """(rows in time worth 10, rows in time worth 1) of a replica that takes 615 rows/s and gets 1000, of which 200 are worth 10, each due in 0.2 s."""
    stage = Simulated(batch=16, values=(lambda request: VALUES) if values else None)
    arrivals, ends_at = 300, inf
    for number in range(arrivals):
        coming = number * 0.01
        while ends_at <= coming:
            ends_at = ended(stage, ends_at)
        stage.now = coming
        stage.arrive(number, 10, 0.2)
        if stage.running and ends_at == inf:
            ends_at = coming + seconds(stage)
    while ends_at < inf:
        ends_at = ended(stage, ends_at)
    assert len(stage.answers) == 10 * arrivals
    in_time = [row for (_, row), status in stage.answers.items() if status is Status.OK]
    return sum(row < 2 for row in in_time), sum(row >= 2 for row in in_time)


def seconds(stage):
    (batch,) = stage.running.values()
    return 0.01 + 0.001 * batch.rows


def ended(stage, at):
    stage.now = at
    (number,) = stage.running
    stage.finish(number, 0.0)
    return at + seconds(stage) if stage.running else inf


def test_overload_sheds_by_value_and_answers_as_many_in_time():
    dear, cheap = overloaded(values=True)
    blind = overloaded(values=False)
    assert dear >= 0.99 * 600
    assert blind[0] < 0.8 * 600  # a fifth of what is answered in time, whatever it is worth
    assert dear + cheap == pytest.approx(sum(blind), rel=0.05)


def message(*values, datatype="FP32"):
    asked = pb.ModelInferRequest(model_name="work")
    asked.inputs.add(name="rows", datatype="BYTES", shape=[len(values)])
    asked.inputs.add(name="value", datatype=datatype, shape=[len(values)])
    asked.raw_input_contents.extend([encode([b"row"] * len(values)), np.array(values, "<f4").tobytes()])
    return asked


def test_values_come_with_the_request():
    assert requests.read(message(0, 2.5, 1), None, 0.0, 1.0).values.tolist() == [0, 2.5, 1]
    assert requests.read(message(1, 1), None, 0.0, 1.0).values is None


@pytest.mark.parametrize("value", [-1, inf, float("nan")])
def test_a_value_that_is_none_is_refused(value):
    with pytest.raises(requests.RequestError, match=f"input 'value' is {float(value)} in a row; use a number from 0 on"):
        requests.read(message(1, value), None, 0.0, 1.0)


def test_values_of_another_type_are_refused():
    with pytest.raises(requests.RequestError, match="input 'value' is INT64; send FP32"):
        requests.read(message(1, datatype="INT64"), None, 0.0, 1.0)
