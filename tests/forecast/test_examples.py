"""What is learned from: no example knows what came after its instant, and the generated load is what its formula says."""

import numpy as np
import pytest

from autoscaler.forecast.examples import Load, examples
from autoscaler.forecast.generated import PIECE_S, generated


def test_windows_and_what_came_after():
    found = examples([Load(np.arange(10.0), 1000.0)], 4, 3.0, 2)
    assert found.windows.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]
    assert found.highest.tolist() == [6, 8]
    assert found.now_s.tolist() == [1004, 1006]
    assert found.scale.tolist() == [3, 5]


def test_instants_without_events_before_them_are_left_out():
    assert examples([Load(np.array([0, 0, 0, 5, 0, 0, 0.0]))], 2, 1.0, 1).now_s.tolist() == [4, 5]


def test_loads_are_not_joined():
    found = examples([Load(np.full(5, 1.0)), Load(np.full(2, 9.0)), Load(np.full(5, 2.0))], 3, 2.0, 1)
    assert found.highest.tolist() == [1, 2]  # the second is too short


def test_a_load_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="holds 610 s"):
        examples([Load(np.ones(600))], 600, 10.0, 1)


def test_the_generated_load_is_the_seeds():
    one, again, other = (generated(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [load.counts.tolist() for load in one] == [load.counts.tolist() for load in again]
    assert one[0].counts.tolist() != other[0].counts.tolist()


def test_the_generated_load_is_as_wide_and_as_noisy_as_said():
    loads = generated(40, np.random.default_rng(5))
    rates = [np.median(load.counts) for load in loads]
    assert all(len(load.counts) == PIECE_S for load in loads)
    assert min(rates) < 20 < 200 < max(rates) < 2000 * 1.6 * 2
    calm = min(loads, key=lambda load: load.counts.std() / load.counts.mean()).counts.reshape(-1, 10)
    assert np.median(calm.var(axis=1, ddof=1) / calm.mean(axis=1)) == pytest.approx(0.93, abs=0.12)  # Poisson: 1; the median of ten's variance is less
    assert sum((load.counts.reshape(-1, 10).mean(axis=1) > 1.5 * np.median(load.counts)).any() for load in loads) > 20  # bursts
