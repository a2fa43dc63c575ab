"""Rows in flight against rows answered, in slices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.scatter import KEPT, SLICE_S, Slices


def after(*moves, aside=0, ready=1):
    """Slices that end with the last of (seconds, held, answered); one replica all the time."""
    slices = Slices()
    slices.moved(0, 0, 0.0)
    slices.end(0, ready)
    slices.take()
    slices.moved(0, 0, 0.0)
    for now, held, answered in moves:
        if slices.moved(held, answered, now):
            slices.end(aside, ready)
    return slices.take()


def test_rows_are_a_mean_over_time_and_the_rate_is_of_those_answered():
    (one,) = after((0.02, 10, 0), (0.06, 30, 0), (0.1, 20, 10))
    assert one == {"rows": pytest.approx((0.04 * 10 + 0.04 * 30) / 0.1), "rate": pytest.approx(100), "ready": 1}


def test_rows_set_aside_are_none_of_those_in_flight():
    (one,) = after((0.0, 30, 0), (0.1, 30, 5), aside=12)
    assert one["rows"] == pytest.approx(18)


def test_a_slice_ends_with_the_first_move_after_its_time():
    assert after((0.02, 1, 0), (0.09, 0, 1)) == []
    (one,) = after((0.0, 4, 0), (2.0, 0, 4))
    assert (one["rows"], one["rate"]) == (4, 2)


def test_slices_in_which_replicas_came_or_went_are_left_out():
    slices = Slices()
    for now, ready in ((0.0, 1), (0.15, 1), (0.3, 2), (0.45, 2)):
        if slices.moved(8, 4, now):
            slices.end(0, ready)
    assert [one["ready"] for one in slices.take()] == [2]  # the first began before anything was known of it


@given(st.lists(st.tuples(st.floats(0.001, 0.3), st.integers(0, 50), st.integers(0, 20)), max_size=200))
def test_nothing_answered_is_counted_twice_and_few_are_kept(steps):
    now, moves = 0.0, []
    for seconds, held, answered in steps:
        now += seconds
        moves.append((now, held, answered))
    found = after(*moves)
    assert len(found) <= KEPT
    assert all(one["rate"] >= 0 and 0 <= one["rows"] <= 50 for one in found)
    assert sum(one["rate"] for one in found) * SLICE_S <= sum(answered for _, _, answered in moves) + 0.01 * len(found)
