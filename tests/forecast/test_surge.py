"""Themis' classifier, asked both ways."""

import numpy as np
import pytest

from autoscaler.forecast.forecaster import QUANTILES
from autoscaler.forecast.surge import Surge
from autoscaler.policies.themis import exceeds
from tests.forecast.builders import poisson, weights

SURGE = Surge(weights(2, beside=1))
LOAD = poisson(50, 60)


def test_a_quantile_is_where_the_probability_of_more_is_what_is_left():
    found = SURGE.forecast(60.0, LOAD).quantiles
    for quantile in QUANTILES:
        if found[quantile] > 0:
            assert SURGE.probability(LOAD, found[quantile]) == pytest.approx(1 - quantile)


def test_more_is_exceeded_with_less_probability():
    found = [SURGE.probability(LOAD, rate) for rate in (0.0, 40.0, 80.0, 160.0)]
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < found[0] < 1


@pytest.mark.parametrize("carries", [20.0, 45.0, 60.0, 90.0, 200.0])
def test_a_policy_that_reads_the_quantiles_sees_the_surge_that_themis_sees(carries):
    assert (exceeds(SURGE.forecast(60.0, LOAD), LOAD[-1], carries) > 0.2) == (SURGE.probability(LOAD, carries) > 0.2)


def test_a_classifier_that_expects_more_of_higher_rates_is_refused():
    with pytest.raises(ValueError, match="train it again"):
        Surge(weights(2, beside=1, slope=0.5))


def test_a_probability_needs_a_past():
    with pytest.raises(ValueError, match="30 s of rates"):
        SURGE.probability(LOAD[:30], 10.0)
    assert SURGE.forecast(30.0, LOAD[:30]).at(0.5) == np.max(LOAD[:30])
