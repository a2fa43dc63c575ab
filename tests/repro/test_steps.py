"""Steps of a figure beside a simulated run."""

import numpy as np
import pytest

from bench.repro.steps import Steps, means_of


def test_a_run_is_compared_step_by_step():
    steps = Steps(2, {"a": {"cost": (9.0, 4.0, 5.0)}}, first=1)
    found = steps.apart("a", {"cost": np.array([1.0, 1.0, 4.0, 6.0, 3.0, 3.0, 8.0])})
    assert found == {"cost": {"published": 4.5, "reproduced": 4.0, "apart": 1.5, "steps": 2}}  # means 5, 3 beside 4, 5: 1 and 2 apart


def test_a_contender_that_the_figure_does_not_show_is_left_out():
    assert Steps(1, {"a": {"cost": (1.0,)}}).apart("b", {"cost": np.ones(3)}) == {}


def test_steps_without_a_figure_of_the_run_do_not_count():
    found = Steps(1, {"a": {"cost": (1.0, 3.0)}}).apart("a", {"cost": np.array([np.nan, 2.0])})
    assert found["cost"] == {"published": 3.0, "reproduced": 2.0, "apart": 1.0, "steps": 1}


def test_the_last_step_is_whole():
    assert means_of(np.array([1.0, 3.0, 5.0, 7.0, 100.0]), 2).tolist() == [2.0, 6.0]
    assert Steps(3, {"a": {"cost": (1.0, 2.0)}}).by_second("a", "cost").tolist() == pytest.approx([1, 1, 1, 2, 2, 2])
