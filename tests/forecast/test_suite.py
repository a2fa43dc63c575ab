"""What holds of every forecaster."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.forecast.forecaster import QUANTILES
from tests.forecast.builders import BASES, MAKE, followed, poisson

every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
rates = st.lists(st.integers(0, 500), min_size=1, max_size=150)
LOAD = np.concatenate((poisson(40, 200), poisson(120, 60, 2), poisson(10, 200, 3)))


@every
def test_nothing_seen_nothing_said(make):
    assert make().forecast(0.0, ()).quantiles == {}


@every
@settings(max_examples=25, deadline=None)
@given(rates)
def test_quantiles_are_ordered_and_never_negative(make, rates):
    found = make().forecast(float(len(rates)), rates).quantiles
    assert tuple(found) == QUANTILES
    assert all(np.isfinite(rate) and rate >= 0 for rate in found.values())
    assert list(found.values()) == sorted(found.values())


@every
@pytest.mark.parametrize("factor", [0.125, 3.0, 1000.0])
def test_a_load_times_k_gives_the_forecast_times_k(make, factor):
    for one, other in zip(followed(make(), LOAD), followed(make(), factor * LOAD), strict=True):
        assert [other.quantiles[each] for each in QUANTILES] == pytest.approx([factor * one.quantiles[each] for each in QUANTILES], rel=1e-9)


@every
def test_what_comes_later_changes_nothing_said_before(make):
    other = LOAD.copy()
    other[300:] = 7 * other[300:] + 50
    one, another = followed(make(), LOAD), followed(make(), other)
    assert one[:30] == another[:30]  # up to and with second 300
    assert one[30:] != another[30:]


@every
def test_how_often_it_is_asked_changes_nothing(make):
    """What a back-test inside learns, it learns from what was known at each origin, also when many of them are made up for at once."""
    often, seldom = make(), make()
    followed(often, LOAD, every=1, first=1)
    assert often.forecast(460.0, LOAD) == seldom.forecast(460.0, LOAD)


@every
def test_tuples_and_arrays_are_the_same_to_it(make):
    assert followed(make(), LOAD[:150]) == followed(make(), tuple(LOAD[:150].tolist()))


@every
def test_any_length_of_past_will_do(make):
    for seconds in (1, 2, 9, 10, 11, 59, 60, 119, 120, 121, 460):
        assert make().forecast(float(seconds), LOAD[:seconds]).quantiles


@every
def test_no_events_no_load(make):
    assert set(followed(make(), np.zeros(200))[-1].quantiles.values()) == {0.0}


@pytest.mark.parametrize("name", ["persistence", "window_max", "holt_winters", "seasonal", "quantile_regression"])
def test_a_constant_load_is_met_exactly(name):
    for seconds in (1, 15, 130, 600):
        found = BASES[name].forecast(float(seconds), [7.0] * seconds)
        assert list(found.quantiles.values()) == pytest.approx([7.0] * len(QUANTILES))


@pytest.mark.parametrize("name", [name for name in MAKE if name not in BASES])
def test_a_constant_load_is_met_exactly_once_misses_are_known(name):
    found = followed(MAKE[name](), np.full(1200, 30.0))[-1]
    assert list(found.quantiles.values()) == pytest.approx([30.0] * len(QUANTILES))
