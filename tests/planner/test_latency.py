"""Latency surfaces and tables, with the figures of the papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.latency import (
    Amdahl,
    Measurement,
    OutsideMeasured,
    Table,
    Themis,
    fit_amdahl,
    fit_amdahl_robust,
    fit_error,
    fit_quadratic,
)

# Themis' released coefficients: alpha, beta, gamma, zeta
DETECTOR = Amdahl(39.90889958924582, 7.784141716703453, 1.8333345492230113, 0.4507066167132669)
CLASSIFIER = Amdahl(28.084275010842124, 2.626952412159743, 6.807172001409088, 0.4588339579256442)
TO_TEXT = Amdahl(67.8249419632761, 11.027503901723342, 24.070936392902027, 32.28070452315141)
SENTIMENT = Amdahl(15.966355447124066, 2.5183518963351523, -0.8067341513465052, 1.2390206700475155)

# Sponge's figure, digitised: ms by batch, for 1, 2, 4, 8, 16 cores
SPONGE = {
    1: (45.99, 28.88, 18.01, 12.40, 13.00),
    2: (78.69, 44.69, 27.16, 18.37, 15.05),
    4: (145.41, 82.43, 50.08, 31.44, 26.70),
    8: (287.64, 166.14, 87.94, 57.04, 46.49),
}
POINTS = [Measurement(batch, 2.0**power, latency) for batch, row in SPONGE.items() for power, latency in enumerate(row)]


@pytest.mark.parametrize(
    ("cores", "batch", "expected"),
    [(1, 1, (56, 43, 166, 25)), (4, 1, (25, 17, 90, 12)), (4, 4, (78, 46, 186, 34))],
)
def test_themis_with_its_safety(cores, batch, expected):
    models = [Themis(DETECTOR), Themis(CLASSIFIER), Themis(TO_TEXT, 1.1, 1.1), Themis(SENTIMENT, 1.1, 1.1)]
    assert tuple(model.latency_ms(batch, cores) for model in models) == expected


def test_the_fit_of_sponges_surface_is_the_published_one():
    fitted = fit_amdahl(POINTS)
    assert (fitted.alpha, fitted.beta, fitted.gamma, fitted.zeta) == pytest.approx((32.252, 2.662, 3.122, 6.121), abs=0.001)
    error = fit_error(fitted, POINTS)
    assert error.r2 == pytest.approx(0.9983, abs=5e-5)
    assert error.mae_ms == pytest.approx(1.95, abs=0.005)
    assert 0.05 < error.worst < 0.5


COEFFICIENT = st.floats(0, 50)


@given(st.tuples(COEFFICIENT, COEFFICIENT, COEFFICIENT, st.floats(0.1, 50)))
def test_a_fit_of_the_form_itself_has_no_error(coefficients):
    surface = Amdahl(*coefficients)
    points = [Measurement(b, c, surface.latency_ms(b, c)) for b in (1, 2, 4, 8) for c in (1, 2, 4)]
    error = fit_error(fit_amdahl(points), points)
    assert error.worst < 1e-6


def test_a_fit_makes_no_negative_coefficients():
    points = [Measurement(b, c, SENTIMENT.latency_ms(b, c)) for b in (1, 2, 4) for c in (1, 2, 4)]
    fitted = fit_amdahl(points)
    assert min(fitted.alpha, fitted.beta, fitted.gamma, fitted.zeta) >= 0
    assert fit_error(fitted, points).r2 > 0.99


def test_one_core_count_says_nothing_of_cores():
    fitted = fit_amdahl([Measurement(b, 2, 3 + 5 * b) for b in (1, 2, 4)])
    assert (fitted.alpha, fitted.beta, fitted.gamma, fitted.zeta) == pytest.approx((0, 5, 0, 3))


def test_one_batch_size_says_nothing_of_rows():
    fitted = fit_amdahl([Measurement(4, c, 3 + 8 / c) for c in (1, 2, 4)])
    assert (fitted.alpha, fitted.beta, fitted.gamma, fitted.zeta) == pytest.approx((0, 0, 8, 3))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="3 points are too few to fit 4 coefficients"):
        fit_amdahl([Measurement(1, 1, 10), Measurement(2, 1, 12), Measurement(1, 2, 8)])


def test_a_pause_spoils_the_plain_fit_but_not_the_robust_one():
    rng = np.random.default_rng(3)
    truth = Amdahl(20, 3, 5, 2)
    points = [Measurement(b, c, truth.latency_ms(b, c) * (1 + 0.01 * rng.standard_normal())) for b in (1, 2, 4, 8) for c in (1, 2, 4, 8)]
    spoilt = [*points[:5], Measurement(points[5].batch, points[5].units, 10 * points[5].latency_ms), *points[6:]]
    assert fit_error(fit_amdahl_robust(spoilt), points).mae_ms < 0.1 * fit_error(fit_amdahl(spoilt), points).mae_ms


def test_the_robust_fit_of_exact_points_is_exact():
    truth = Amdahl(20, 3, 5, 2)
    points = [Measurement(b, c, truth.latency_ms(b, c)) for b in (1, 2, 4) for c in (1, 2, 4)]
    assert fit_error(fit_amdahl_robust(points), points).worst < 1e-6


@pytest.mark.parametrize(("batch", "units"), [(16, 1), (1, 32), (1, 0.5)])
def test_no_answer_beyond_what_was_measured(batch, units):
    for fit in (fit_amdahl, fit_amdahl_robust):
        with pytest.raises(OutsideMeasured, match="batches 1 to 8 on 1 to 16 cores were; measure it, or ask for extrapolation"):
            fit(POINTS).latency_ms(batch, units)
        assert fit(POINTS, extrapolate=True).latency_ms(batch, units) > 0


def test_a_table_answers_what_was_measured_and_between_batches():
    table = Table(tuple(POINTS))
    assert table.latency_ms(4, 2) == 82.43
    assert table.latency_ms(3, 2) == pytest.approx((44.69 + 82.43) / 2)
    assert table.latency_ms(6, 1) == pytest.approx((145.41 + 287.64) / 2)


@pytest.mark.parametrize(
    ("batch", "units", "text"),
    [(9, 1, "batch 9 on 1 cores was not measured: batches 1 to 8"), (0, 1, "batch 0"), (1, 3, "3 cores were not measured: 1, 2, 4, 8, 16 were")],
)
def test_a_table_answers_nothing_else(batch, units, text):
    with pytest.raises(OutsideMeasured, match=text):
        Table(tuple(POINTS)).latency_ms(batch, units)


def test_a_table_knows_each_point_once():
    with pytest.raises(ValueError, match="batch 1 on 2 cores is there twice"):
        Table((Measurement(1, 2, 3), Measurement(1, 2, 4)))
    with pytest.raises(ValueError, match="without points"):
        Table(())


def test_a_quadratic_goes_through_three_points():
    fitted = fit_quadratic([Measurement(b, 1, 2 * b * b + 3 * b + 1) for b in (1, 2, 4)], extrapolate=True)
    assert fitted.latency_ms(8, 1) == pytest.approx(2 * 64 + 24 + 1)


def test_where_a_quadratic_is_negative_the_linear_fit_answers():
    points = [Measurement(1, 1, 10), Measurement(4, 1, 30), Measurement(8, 1, 32)]  # bends down
    fitted = fit_quadratic(points, extrapolate=True)
    c2, c1, c0 = fitted.square
    assert c2 * 64**2 + c1 * 64 + c0 < 0
    slope, offset = np.polyfit([1, 4, 8], [10, 30, 32], 1)
    assert fitted.latency_ms(64, 1) == pytest.approx(slope * 64 + offset)
    assert fitted.latency_ms(4, 1) == pytest.approx(30)


def test_a_quadratic_is_of_one_number_of_cores():
    with pytest.raises(ValueError, match="at least three batch sizes at one number of cores"):
        fit_quadratic(POINTS)
    with pytest.raises(OutsideMeasured):
        fit_quadratic([Measurement(b, 1, b) for b in (1, 2, 4)]).latency_ms(8, 1)


def test_errors_of_a_constant():
    flat = [Measurement(b, 1, 5) for b in (1, 2)]
    assert fit_error(Amdahl(0, 0, 0, 5), flat).r2 == 1
    error = fit_error(Amdahl(0, 0, 0, 6), flat)
    assert (error.r2, error.mae_ms, error.worst) == (0, 1, 0.2)
