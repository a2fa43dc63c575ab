"""The fit is the best there is, the clock is read right, and quantiles mean what they say."""

import numpy as np
import pytest
from scipy.optimize import linprog

from autoscaler.forecast.examples import Load, examples
from autoscaler.forecast.forecaster import QUANTILES
from autoscaler.forecast.generated import generated
from autoscaler.forecast.quantile_regression import Clock, Design, QuantileRegression, fit, minimised, pinball
from tests.forecast.builders import poisson


def least_loss(x, y, quantile):
    """Of the linear program: minimise tau u + (1 - tau) v, y = x beta + u - v."""
    count, features = x.shape
    cost = np.concatenate((np.zeros(features), np.full(count, quantile), np.full(count, 1 - quantile)))
    equal = np.hstack((x, np.eye(count), -np.eye(count)))
    return linprog(cost, A_eq=equal, b_eq=y, bounds=[(None, None)] * features + [(0, None)] * 2 * count).fun / count


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_the_fit_reaches_the_linear_programs_optimum(quantile):
    found = examples(generated(1, np.random.default_rng(1)), 120, 10.0, 20)
    design = Design.of(found.windows, found.now_s, 10.0, Clock()).over(found.scale)
    rise = found.highest / found.scale - design.level
    fitted = pinball(rise - design.above(minimised(design, rise, quantile, np.zeros(11))), quantile).mean()
    assert fitted == pytest.approx(least_loss(design.x, rise, quantile), rel=5e-3)


def test_products_with_a_clock_are_those_of_the_written_out_matrix():
    random = np.random.default_rng(1)
    design = Design(random.random(50), random.random((50, 3)), random.random(50), random.integers(4, size=50), 4)
    weights, written = random.random(50), np.hstack((design.x, design.trend[:, None] * (design.at[:, None] == np.arange(4))))
    assert design.products(weights) == pytest.approx(written.T @ np.diag(weights) @ written)
    assert design.sums(weights) == pytest.approx(written.T @ weights)
    coefficients = random.random(7)
    assert design.above(coefficients) == pytest.approx(written @ coefficients)


def test_each_quantile_covers_its_share():
    found = examples([Load(poisson(30, 20_000))], 120, 10.0, 10)
    model = fit(found, 10.0)
    said = [model.forecast(float(now_s), window).quantiles for now_s, window in zip(found.now_s, found.windows, strict=True)]
    for quantile in QUANTILES:
        assert np.mean([highest <= each[quantile] for each, highest in zip(said, found.highest, strict=True)]) == pytest.approx(quantile, abs=0.02)


def hourly(hours, begins=0):
    """A burst of a minute at ten past every hour."""
    seconds = begins + np.arange(3600 * hours)
    return Load(poisson(20, 3600 * hours) + 100 * ((seconds % 3600) // 60 == 10), float(begins))


def test_the_clock_foresees_what_comes_by_the_hour():
    found = examples([hourly(10)], 120, 10.0, 10)
    model, blind = fit(found, 10.0, Clock(3600, 60)), fit(found, 10.0)
    calm = poisson(20, 120)
    assert model.forecast(7 * 3600 + 600.0, calm).at(0.9) > 90
    assert model.forecast(7 * 3600 + 300.0, calm).at(0.9) < 45
    assert blind.forecast(7 * 3600 + 600.0, calm).at(0.9) < 45
    judged = examples([hourly(3, 20 * 3600)], 120, 10.0, 10)
    assert model.loss(judged) < 0.9 * blind.loss(judged)


def test_bins_of_the_clock():
    assert Clock(3600, 60).at(np.array([0.0, 59.9, 60.0, 3599.9, 3600.0])).tolist() == [0, 0, 1, 59, 0]
    assert Clock().at(np.array([0.0, 1e6])).tolist() == [0, 0]


def test_crossing_quantiles_are_put_in_order():
    falling = {quantile: np.full(11, -quantile) for quantile in QUANTILES}
    found = QuantileRegression(falling).forecast(120.0, poisson(50, 120)).quantiles
    assert list(found.values()) == sorted(found.values())
