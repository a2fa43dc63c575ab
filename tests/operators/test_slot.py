import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.slot import Slot


def test_without_a_share_nothing_is_owed():
    slot = Slot()
    assert not slot.limited
    assert slot.owed_s(1.0, 1.0) == 0.0


def test_a_batch_takes_as_long_as_on_a_slower_core():
    slot = Slot(0.25)
    assert slot.owed_s(0.01, 0.01) == pytest.approx(0.03)  # 0.01 / 0.25 - 0.01


def test_two_threads_on_a_core_and_a_half():
    assert Slot(1.5).owed_s(0.03, 0.015) == pytest.approx(0.005)  # 0.03 / 1.5 - 0.015


def test_what_sleeping_took_too_long_is_owed_no_more():
    slot = Slot(0.5)
    assert slot.owed_s(0.01, 0.01) == pytest.approx(0.01)
    slot.slept(0.013)
    assert slot.owed_s(0.01, 0.01) == pytest.approx(0.007)


def test_time_lost_to_others_is_not_made_up_for():
    slot = Slot(0.5)
    assert slot.owed_s(0.01, 0.5) == 0.0
    assert slot.owed_s(0.01, 0.01) == pytest.approx(0.01)


def test_a_change_forgets_what_was_owed():
    slot = Slot(0.125)
    slot.owed_s(1.0, 1.0)
    slot.change(None)
    assert slot.owed_s(1.0, 1.0) == 0.0


@given(st.integers(1, 7), st.lists(st.tuples(st.floats(1e-4, 0.1), st.floats(0, 0.005)), min_size=1, max_size=50))
def test_the_share_is_kept_over_the_batches(eighths, batches):
    slot, used, elapsed = Slot(eighths / 8), 0.0, 0.0
    for cpu_s, oversleep in batches:
        owed = slot.owed_s(cpu_s, cpu_s)
        slept = owed + oversleep if owed else 0.0
        if owed:
            slot.slept(slept)
        used, elapsed = used + cpu_s, elapsed + cpu_s + slept
    assert used / (eighths / 8) <= elapsed + 1e-9  # never more than the share
    assert elapsed <= used / (eighths / 8) + 0.005 + 1e-9  # nor less, but for the last oversleep
