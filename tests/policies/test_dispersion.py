"""Even arrivals are told from those at random, and nothing else is taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.control.arrivals import Arrivals
from autoscaler.policies.dispersion import POISSON, dispersion

EVEN = (20.0, 21.0, 19.0) * 20  # variance 0.67 of 20


def seconds(counts):
    return [(1.0, float(count)) for count in counts]


@given(st.floats(1.0, 3000), st.integers(0, 2**32 - 1), st.lists(st.floats(0.2, 5.0), min_size=1, max_size=60))
def test_arrivals_at_random_are_never_taken_for_even_ones(rate, seed, lengths):
    counts = np.random.default_rng(seed).poisson(rate * np.array(lengths))
    assert dispersion(list(zip(lengths, counts.tolist(), strict=True))) == POISSON


def test_even_arrivals_are_known_after_a_while():
    assert dispersion(seconds(EVEN)) == pytest.approx(0.034, abs=0.001)
    assert dispersion(seconds(EVEN[:6])) == POISSON  # of so few seconds anything may be chance


def test_a_rate_that_changes_is_not_even():
    assert dispersion(seconds((20.0,) * 30 + (40.0,) * 30)) == POISSON


@pytest.mark.parametrize("none", [[], [(1.0, 0.0)] * 60, [(1.0, 5.0)]])
def test_of_nothing_nothing_is_known(none):
    assert dispersion(none) == POISSON


@pytest.mark.parametrize(("steps", "even"), [(EVEN, True), (np.random.default_rng(1).poisson(20, 60).tolist(), False)])
def test_it_is_taken_between_the_looks_at_the_offsets(steps, even):
    known, end = Arrivals(), 0.0
    for second, count in enumerate([0.0, *steps]):
        end += count
        known.add(100.5 + second, end)  # the rates of whole seconds are half of one step and half of the next
    assert (known.dispersion(160.5) < 0.05) == even
    assert known.dispersion(160.5) == POISSON or even
