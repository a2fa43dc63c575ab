from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.evidence import ALPHA, MIN_LABELS, MIN_PARTS, MIN_ROWS, Judge, Looks, Served, at_least, less_right, more_often
from operators.telemetry import BINS, RATIO, Histogram


def parts(*latencies_ms):
    """(latency, answers) pairs."""
    histogram = Histogram()
    for latency_ms, answers in latencies_ms:
        histogram.add(latency_ms, answers)
    return histogram.counts


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_fishers_test_is_the_sum_of_its_terms(of, of_old, data):
    bad, bad_old = data.draw(st.integers(0, of)), data.draw(st.integers(0, of_old))
    terms = [comb(bad + bad_old, k) * comb(of + of_old - bad - bad_old, of - k) for k in range(bad, min(of, bad + bad_old) + 1)]
    assert more_often(bad, of, bad_old, of_old) == pytest.approx(sum(terms) / comb(of + of_old, of))


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 0.9), st.data())
def test_the_binomial_tail_is_the_sum_of_its_terms(of, share, data):
    count = data.draw(st.integers(0, of))
    assert at_least(count, of, share) == pytest.approx(sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count, of + 1)))


def test_large_samples_are_no_trouble():
    assert more_often(200, 100_000, 1_000, 10_000_000) < 1e-30
    assert more_often(100_000, 100_000, 0, 10_000_000) == 0.0
    assert at_least(10_000, 1_000_000, 0.01) == pytest.approx(0.5, abs=0.01)


def test_a_smaller_loss_of_accuracy_than_the_margin_is_none():
    assert less_right(985_000, 1_000_000, 990_000, 1_000_000) > 0.5
    assert less_right(900, 1_000, 990, 1_000) < 1e-6


def test_looks_are_at_doubled_samples_each_harder_to_fail():
    looks = Looks(100)
    levels = [looks.level(sample) for sample in (99, 100, 150, 250, 499, 500)]
    assert levels == [None, ALPHA / 6, None, ALPHA / 12, None, ALPHA / 24]  # next after 100: 200; after 250: 500


GOOD = parts((5.0, 990), (9.0, 10))


@pytest.mark.parametrize(
    ("new", "old", "word"),
    [
        (Served(rows=MIN_ROWS, failed=20), Served(rows=1000, failed=3), "errors: 20 of 100 rows failed, 3 of 1000"),
        (Served(rows=MIN_ROWS, parts=parts((5.0, 950), (20.0, 50))), Served(rows=1000, parts=GOOD), "latency: 50 of 1000 answers"),
        (Served(rows=MIN_ROWS, labelled=200, right=120), Served(labelled=500, right=490), "accuracy: 120 of 200 labelled rows right"),
    ],
)
def test_a_worse_version_is_found_out(new, old, word):
    assert word in Judge(RATIO).objection(new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (Served(rows=MIN_ROWS - 1, failed=MIN_ROWS - 1), Served(rows=1000)),
        (Served(rows=MIN_ROWS, failed=1), Served(rows=1000)),
        (Served(parts=parts((50.0, MIN_PARTS - 1))), Served(parts=GOOD)),
        (Served(parts=parts((50.0, 1000))), Served(parts=parts((5.0, MIN_PARTS - 1)))),
        (Served(parts=parts((5.0, 980), (9.0, 20))), Served(parts=GOOD)),  # slower, but within the factor
        (Served(labelled=MIN_LABELS - 1), Served(labelled=500, right=500)),
        (Served(labelled=500, right=500), Served(labelled=MIN_LABELS - 1)),
    ],
)
def test_too_little_is_no_evidence(new, old):
    assert Judge(RATIO).objection(new, old) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_version_that_is_as_good_is_hardly_ever_turned_down(seed):
    rng = np.random.default_rng(seed)
    judge, new, old = Judge(RATIO), Served(parts=np.zeros(BINS, np.int64)), Served(parts=np.zeros(BINS, np.int64))
    for _ in range(60):
        new, old = (grown(served, rows, rng) for served, rows in ((new, 50), (old, 950)))
        assert judge.objection(new, old) is None


def grown(served, rows, rng):
    histogram = Histogram()
    for latency_ms in rng.gamma(4.0, 2.0, rows):
        histogram.add(latency_ms, 1)
    right = served.right + int(rng.binomial(rows, 0.95))
    return Served(served.rows + rows, served.failed + int(rng.binomial(rows, 0.02)), served.parts + histogram.counts, served.labelled + rows, right)
