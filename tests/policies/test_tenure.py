"""How long plans are expected to stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policies.tenure import LAST, LEAST_S, horizon_s

begins = st.lists(st.floats(0, 1e6), max_size=6).map(sorted)


def test_one_change_says_nothing():
    assert horizon_s((), 100.0, 60.0) == horizon_s((90.0,), 100.0, 60.0) == 60.0


def test_the_mean_of_the_last_intervals_and_the_quiet_since():
    assert horizon_s((0.0, 500.0, 510.0, 520.0, 530.0), 532.0, 60.0) == 10.0
    assert horizon_s((500.0, 510.0, 520.0), 545.0, 60.0) == 25.0
    assert horizon_s((500.0, 510.0, 520.0), 900.0, 60.0) == 60.0


@given(begins, st.floats(0, 1e4), st.floats(1, 600))
def test_between_least_and_most_and_longer_the_longer_it_is_quiet(begun, quiet_s, most_s):
    last = begun[-1] if begun else 0.0
    now, later = last + quiet_s, last + 2 * quiet_s
    assert min(LEAST_S, most_s) <= horizon_s(begun, now, most_s) <= most_s
    assert horizon_s(begun, now, most_s) <= horizon_s(begun, later, most_s)
    assert horizon_s(begun, now, most_s) == horizon_s(begun[-LAST - 1:], now, most_s)
