"""Quantiles from misses."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.forecast.conformal import Conformal, Scores
from autoscaler.forecast.forecaster import QUANTILES, certain
from autoscaler.forecast.plain import Persistence, WindowMax
from tests.forecast.builders import followed, poisson


@given(st.lists(st.integers(-5, 5).map(float), max_size=30), st.integers(1, 10))
def test_scores_are_the_newest_in_order(values, keep):
    scores = Scores(values[:2], keep)
    for value in values[2:]:
        scores.add(value)
    newest = sorted(values[-keep:])
    assert len(scores) == len(newest)
    for quantile in QUANTILES:
        rank = ceil((len(newest) + 1) * quantile)
        assert scores.at(quantile) == (0.0 if not newest else newest[min(rank, len(newest)) - 1])


def covered(forecaster, load, warm_up):
    said = followed(forecaster, load)[warm_up:-1]
    came = [load[now : now + 10].max() for now in range(10, len(load) - 9, 10)][warm_up:]
    return {quantile: np.mean([highest <= each.quantiles[quantile] for each, highest in zip(said, came, strict=True)]) for quantile in QUANTILES}


@pytest.mark.parametrize("base", [Persistence(), WindowMax(60)], ids=["persistence", "window_max"])
def test_a_steady_load_is_covered_as_the_quantiles_say(base):
    found = covered(Conformal(base), poisson(25, 20_000), 100)
    for quantile in QUANTILES:
        assert found[quantile] == pytest.approx(quantile, abs=0.035)


class Half:
    """Always says half of what there is."""

    horizon_s = 10.0

    def forecast(self, now_s, rates):
        return certain(10.0, 0.5 * float(np.mean(rates[-60:])))


def test_what_is_always_wrong_in_the_same_way_is_put_right():
    found = followed(Conformal(Half(), keep=50), poisson(400, 2000))[-1]
    assert found.at(0.5) == pytest.approx(430, abs=10)  # the most of ten seconds: 400 + 1.5 sigma


def test_the_first_scores_are_those_it_is_given():
    given = {quantile: [0.0, 0.1, 0.2] for quantile in QUANTILES}
    found = Conformal(Persistence(), given).forecast(3.0, [50.0, 100.0, 80.0])
    assert found.quantiles[0.5] == pytest.approx(80 + 0.1 * 100)  # the second of three; scale is the most of two minutes
    assert found.quantiles[0.99] == pytest.approx(80 + 0.2 * 100)


def test_given_scores_leave_the_window_first():
    given = {quantile: [5.0] * 20 for quantile in QUANTILES}
    conformal = Conformal(Persistence(), given, keep=30)
    assert followed(conformal, np.full(250, 10.0))[-1].at(0.99) == 60.0  # 24 misses of 0 and six of the 20 left
    assert followed(conformal, np.full(400, 10.0), first=260)[-1].at(0.99) == 10.0
