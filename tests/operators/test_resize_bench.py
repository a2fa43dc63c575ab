"""How `python -m bench resize` tells one core from two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.resize import best_threshold, percentile, separates


def test_the_threshold_lies_between_the_times():
    found = best_threshold([14.0, 15.0, 16.0], [8.0, 9.0, 10.0])
    assert (found.seconds, found.wrong_one, found.wrong_two) == (14.0, 0.0, 0.0)
    assert separates(found)


def test_stragglers_are_counted_on_the_wrong_side():
    found = best_threshold([14.0] * 9 + [7.0], [8.0] * 19 + [30.0])
    assert (found.seconds, found.wrong_one, found.wrong_two) == (14.0, 0.1, pytest.approx(0.05))


def test_times_that_are_alike_separate_nothing():
    assert not separates(best_threshold([10.0, 11.0, 12.0], [10.0, 11.0, 12.0]))
    assert not separates(best_threshold([8.0, 9.0], [14.0, 15.0]))  # two cores slower than one


def test_percentiles_are_nearest_rank():
    assert [percentile([3.0, 1.0, 2.0, 4.0], rank) for rank in (50, 75, 99, 100)] == [2.0, 3.0, 4.0, 4.0]


TIMES = st.lists(st.floats(0.1, 100), min_size=1, max_size=30)


@given(TIMES, TIMES)
def test_no_other_threshold_does_better(one, two):
    found = best_threshold(one, two)
    for point in {*one, *two}:
        wrong = sum(t < point for t in one) / len(one) + sum(t >= point for t in two) / len(two)
        assert found.wrong_one + found.wrong_two <= wrong + 1e-9
