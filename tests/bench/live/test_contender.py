"""Policies with their times scaled and their parameters set."""

import json

import pytest

from autoscaler.policies.hpa import Hpa
from autoscaler.policies.hpa_behavior import Behavior
from autoscaler.policies.registry import POLICIES, policy
from bench.live.contender import FIXED, GRIDS, TODAY, Contender, Start, changed, defaults, grid, scaled
from tests.bench.live.builders import setting

PROBLEM = setting().planner.problem(1.0)


def test_every_time_of_a_policy_is_divided_and_nothing_else():
    assert scaled(Hpa(PROBLEM), 2) == {"interval_s": 7.5, "behavior.up_window_s": 0.0, "behavior.down_window_s": 150.0, "behavior.period_s": 7.5}
    flink = defaults("flink_autoscaler", PROBLEM, 2).parameters
    assert (flink["window_s"], flink["stabilization_s"], flink["restart_s"], flink["interval_s"]) == (450.0, 150.0, 150.0, 5.0)
    assert "target" not in flink


def test_parameters_are_set_in_the_policy_and_in_its_parts():
    made = changed(Hpa(PROBLEM), {"target": 0.5, "behavior.down_window_s": 60.0})
    assert made == Hpa(PROBLEM, target=0.5, behavior=Behavior(down_window_s=60.0))
    with pytest.raises(TypeError, match="no_such"):
        changed(Hpa(PROBLEM), {"no_such": 1.0})


@pytest.mark.parametrize("policy", TODAY)
def test_a_grid_holds_every_combination_once_and_each_can_be_built(policy):
    tried = list(grid(policy))
    size = 1
    for values in GRIDS[policy].values():
        size *= len(values)
    assert len({json.dumps(one.data()) for one in tried}) == len(tried) == size
    assert all(one.spec().build(PROBLEM).name == policy for one in tried)


def test_a_contender_goes_to_its_sidecar_as_json():
    one = Contender("hpa_tuned", "hpa", {"target": 0.5, "behavior.period_s": 3.0}, start=Start.MEAN)
    again = Contender.of(json.loads(json.dumps(one.data())))
    assert again == one
    assert again.spec().build(PROBLEM) == Hpa(PROBLEM, target=0.5, behavior=Behavior(period_s=3.0))


def test_a_sidecar_has_it_in_the_place_of_the_policy_whose_name_it_has(monkeypatch):
    one = Contender("hpa", "hpa", {"target": 0.5})
    monkeypatch.setitem(POLICIES, one.name, one.spec())
    assert policy("hpa", PROBLEM) == Hpa(PROBLEM, target=0.5)


def test_names_are_different_and_of_policies_that_there_are():
    names = [one.name for one in FIXED] + [name for policy in TODAY for name in (policy, f"{policy}_tuned")]
    assert len(set(names)) == len(names) == 11
    assert {one.policy for one in FIXED} | set(TODAY) <= POLICIES.keys()
