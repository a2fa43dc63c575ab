"""Random instances are what their strata say."""

import numpy as np
import pytest

from autoscaler.planner import exhaustive
from autoscaler.planner.evaluate import evaluate
from autoscaler.planner.model import Infeasible
from bench.instances import BATCHES, CORES, STAGES, VARIANTS, Aim, GraphClass, Pressure, generate, generate_large, is_series_parallel, strata

CLASSES = list(GraphClass)
MANY = [generate(np.random.default_rng([7, index]), CLASSES[index % 6], list(Aim)[index // 6 % 4], plans_most=20_000) for index in range(96)]


def graph_of(problem):
    place = {stage.name: index for index, stage in enumerate(problem.stages)}
    return [[place[name] for name in stage.after] for stage in problem.stages]


def test_the_same_seed_makes_the_same_instance():
    first, second = (generate(np.random.default_rng(5), GraphClass.DIAMOND, Aim.WEIGHTED, plans_most=5_000) for _ in range(2))
    assert first == second
    assert first != generate(np.random.default_rng(6), GraphClass.DIAMOND, Aim.WEIGHTED, plans_most=5_000)


@pytest.mark.parametrize("instance", MANY[:24], ids=lambda instance: f"{instance.graph}, {instance.aim}")
def test_the_number_of_plans_is_told_and_within_the_limit(instance):
    assert exhaustive.count(instance.problem) == instance.plans
    assert 0 < instance.plans <= 20_000


def test_sizes_stay_within_the_stated_ones():
    for instance in MANY:
        assert 2 <= len(instance.problem.stages) <= STAGES
        for stage in instance.problem.stages:
            assert len({option.variant for option in stage.options}) <= VARIANTS
            assert {option.batch for option in stage.options} <= set(BATCHES)
            assert {option.units for option in stage.options if option.device == "cpu"} <= set(map(float, CORES))
            assert {option.device for option in stage.options} <= {"cpu", "gpu"}


def test_graphs_are_of_their_class():
    for instance in MANY:
        graph = graph_of(instance.problem)
        joins = [len(names) for names in graph if len(names) > 1]
        starts = sum(not names for names in graph)
        ends = sum(not any(index in names for names in graph) for index in range(len(graph)))
        assert is_series_parallel(graph) == (instance.graph is not GraphClass.GENERAL)
        match instance.graph:
            case GraphClass.CHAIN:
                assert (joins, starts, ends) == ([], 1, 1)
            case GraphClass.TREE:
                assert joins == []
                assert starts == 1
                assert ends > 1
            case GraphClass.DIAMOND:
                assert len(joins) == 1
                assert ends == 1
            case GraphClass.CONDITIONED:
                assert any(term.by_variant for stage in instance.problem.stages for term in stage.rates)


@pytest.mark.parametrize(("graph", "expected"), [
    ([[], [0], [1]], True),
    ([[], [0], [0], [1, 2]], True),
    ([[], [], [0], [0, 1]], False),
    ([[], [], [0, 1], [0, 1]], True),
    ([[], [0], [0, 1], [2]], True),  # the short cut from 0 to 2 orders nothing anew
    ([[], [0], [0], [1], [1, 2], [3, 4]], False),
])
def test_an_n_in_the_order_is_what_is_not_series_parallel(graph, expected):
    assert is_series_parallel(graph) is expected


def test_impossible_ones_have_no_plan_and_plans_of_the_others_hold():
    seen = set()
    for instance in MANY:
        found = exhaustive.solve(instance.problem)
        seen.add((instance.pressure, isinstance(found, Infeasible)))
        if isinstance(found, Infeasible):
            continue
        assert instance.pressure is not Pressure.IMPOSSIBLE
        assert evaluate(instance.problem, found).violations == ()
    assert {(Pressure.LOOSE, False), (Pressure.TIGHT, False), (Pressure.IMPOSSIBLE, True)} <= seen


def test_every_stratum_is_filled():
    counted = strata(MANY)
    assert counted["class"] == {str(graph): 16 for graph in GraphClass}
    assert counted["objective"] == {str(aim): 24 for aim in Aim}
    assert counted["pressure"]["tight"] >= 0.15 * len(MANY)
    assert counted["pressure"]["impossible"] >= 0.05 * len(MANY)
    assert set(counted["sizing"]) == {"NoWait", "FillWait", "ServiceWait"}


def test_larger_ones_have_more_plans_than_can_be_looked_at():
    larger = [generate_large(np.random.default_rng([3, index]), CLASSES[index], Aim.LEAST_COST) for index in range(6)]
    for instance in larger:
        with pytest.raises(ValueError, match="more than"):
            exhaustive.solve(instance.problem, limit=20_000)
