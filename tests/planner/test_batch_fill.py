"""Waits for a batch to fill, against closed forms and draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.batch_fill import (
    BOUND_LEAST_SHARE,
    bulk_fill_bound_ms,
    bulk_fill_mean_ms,
    fill_average_ms,
    fill_bound_ms,
    fill_mean_ms,
    fill_quantile_ms,
)

BATCH, RATE, SHARE = st.integers(1, 64), st.floats(0.1, 1e4), st.floats(BOUND_LEAST_SHARE, 0.9999)


def test_mean_of_the_first_row_and_of_all():
    assert fill_mean_ms(5, 100) == pytest.approx(40)  # four gaps of 10 ms
    assert fill_average_ms(5, 100) == pytest.approx(20)


def test_a_batch_of_two_waits_one_exponential_gap():
    assert fill_quantile_ms(2, 100, 0.99) == pytest.approx(46.0517, abs=1e-4)  # 10 ms * ln 100
    assert fill_bound_ms(2, 100, 0.99) == pytest.approx(46.0517, abs=1e-4)


def test_a_batch_of_three_waits_an_erlang_2():
    wait_ms = fill_quantile_ms(3, 100, 0.99)
    x = wait_ms / 10
    assert 1 - np.exp(-x) * (1 + x) == pytest.approx(0.99, abs=1e-9)


@pytest.mark.parametrize("batch", [1, 8])
def test_nobody_waits_alone_or_where_nothing_comes(batch):
    rate = 0 if batch > 1 else 50
    waits = [fill_mean_ms(batch, rate), fill_quantile_ms(batch, rate, 0.99), fill_bound_ms(batch, rate, 0.99), bulk_fill_bound_ms(batch, rate, 3, 0.9)]
    assert waits == [0, 0, 0, 0]


@given(BATCH, RATE, SHARE)
def test_the_exponential_form_is_an_upper_bound(batch, rate, share):
    assert fill_quantile_ms(batch, rate, share) <= fill_bound_ms(batch, rate, share) * (1 + 1e-9)


def test_below_its_least_share_the_exponential_form_is_none():
    x = 1.25  # two gaps: 1 - e^-2x (1 + 2x) < 1 - e^-x
    share = 1 - np.exp(-x)
    assert fill_quantile_ms(3, 1000, share) > 2 * x
    with pytest.raises(ValueError, match=r"share is 0\.71"):
        fill_bound_ms(3, 1000, share)


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        fill_quantile_ms(4, 10, share)


def test_bulk_of_one_is_a_stream_of_rows():
    assert bulk_fill_mean_ms(6, 100, 1) == fill_mean_ms(6, 100)
    assert bulk_fill_bound_ms(6, 100, 1, 0.99) == fill_quantile_ms(6, 100, 0.99)


def test_a_group_that_fills_the_batch_waits_for_nobody():
    assert bulk_fill_mean_ms(4, 100, 8) == 0
    assert bulk_fill_bound_ms(4, 100, 8, 0.99) == 0


@pytest.mark.parametrize(("batch", "group"), [(8, 3), (8, 4), (6, 4), (5, 7), (2, 3)])
def test_bulk_against_draws(batch, group):
    rng, batches = np.random.default_rng(1), 40_000
    rows = batches * batch
    at = np.cumsum(rng.exponential(1000 * group / 90, -(-rows // group))).repeat(group)[:rows].reshape(batches, batch)
    waits = at[:, -1] - at[:, 0]
    error = 4 * waits.std() / np.sqrt(batches) + 1e-9  # batches that share a group depend little; four standard errors
    assert abs(waits.mean() - bulk_fill_mean_ms(batch, 90, group)) < error
    assert (waits > bulk_fill_bound_ms(batch, 90, group, 0.95) + 1e-6).mean() < 0.055


def test_poisson_rows_underestimate_the_tail_of_groups():
    rng = np.random.default_rng(2)
    at = np.cumsum(rng.exponential(1000 * 5 / 100, 20_000)).repeat(5)[:96_000].reshape(-1, 8)
    assert (at[:, -1] - at[:, 0] > fill_quantile_ms(8, 100, 0.99)).mean() > 0.02  # twice as many as it says
