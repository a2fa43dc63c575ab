"""Which labels stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.pareto import BLOCK, nondominated
from autoscaler.planner.thinning import Thinning


def front(ticks, values):
    rows = [(tick, *row) for tick, row in zip(ticks.tolist(), values.tolist(), strict=True)]
    return {row for row in rows if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)}


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.data())
def test_none_that_is_beaten_stays_and_no_other_goes(components, data):
    number = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, np.inf])
    rows = data.draw(st.lists(st.tuples(st.integers(0, 4), *[number] * components), max_size=25))
    ticks, values = np.array([row[0] for row in rows], dtype=np.int64), np.array([row[1:] for row in rows], dtype=float).reshape(len(rows), components)
    kept = nondominated(ticks, values)
    found = [(tick, *row) for tick, row in zip(ticks[kept].tolist(), values[kept].tolist(), strict=True)]
    assert set(found) == front(ticks, values)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("components", [1, 2, 3])
def test_more_labels_than_a_block(components):
    rng = np.random.default_rng(3)
    ticks, values = rng.integers(0, 60, 3 * BLOCK), rng.integers(0, 60, (3 * BLOCK, components)).astype(float)
    kept = nondominated(ticks, values)
    assert {(tick, *row) for tick, row in zip(ticks[kept].tolist(), values[kept].tolist(), strict=True)} == front(ticks, values)


def test_sums_in_another_order_are_equal():
    values = np.array([[0.1 + 0.2 + 0.3, 1.0], [0.3 + 0.2 + 0.1, 1.0], [0.6, 2.0]])
    assert len(nondominated(np.zeros(3, dtype=np.int64), values)) == 1


def test_merged_labels_are_no_worse_than_any_and_kept_ones_can_be_had():
    rng = np.random.default_rng(5)
    ticks, values = rng.integers(0, 100, 200), rng.random((200, 2))
    _, early, best = Thinning(9, merge=True).thinned(ticks, values)
    assert len(early) <= 9
    assert all(((early <= tick) & (best <= row).all(axis=1)).any() for tick, row in zip(ticks, values, strict=True))
    places, kept_ticks, kept = Thinning(9, merge=False).thinned(ticks, values)
    assert len(places) <= 9 + 3
    assert (kept_ticks == ticks[places]).all()
    assert (kept == values[places]).all()
    assert kept_ticks.min() == ticks.min()
