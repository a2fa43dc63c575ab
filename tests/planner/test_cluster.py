"""Several pipelines on one cluster, against going through all pairs of plans."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.planner.cluster import ClusterPlan, plan_cluster
from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Infeasible, Option, Problem, StageModel
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from tests.planner.brute import Waits, brute, options


def option(cost, device="cpu", accuracy=0.5, units=1.0):
    return Option("m", 1, units, 1.0, 10.0, accuracy, cost, device)


def pipeline(*found, objective=None, devices=None):
    return Problem((StageModel("a", found),), 10.0, 10.0, objective or LeastCost(), Waits(), devices or {})


def best_together(problems, devices, weights):
    """Each pipeline's options one by one; every problem has one stage."""
    best = None
    for chosen in itertools.product(*([replace(problem, stages=(replace(problem.stages[0], options=(option,)),)) for option in problem.stages[0].options]
                                      for problem in problems)):
        values = [brute(problem) for problem in chosen]
        if None in values:
            continue
        used = {}
        for problem in chosen:
            for kind, units in plan(problem).totals.used.items():
                used[kind] = used.get(kind, 0) + units
        if all(used.get(kind, 0) <= units + 1e-9 for kind, units in devices.items()):
            value = tuple(sum(weight * value[place] for weight, value in zip(weights, values, strict=True)) for place in range(len(values[0])))
            best = value if best is None or [round(part, 9) for part in value] > [round(part, 9) for part in best] else best
    return best


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(options, min_size=1, max_size=3), min_size=1, max_size=3),
       st.sampled_from([LeastCost(), MostAccurate(3.0), CheapestOfAccurate(0.2), Weighted(2.0, 0.5)]),
       st.dictionaries(st.sampled_from(["cpu", "gpu", "memory_gb"]), st.integers(1, 14)), st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=3, max_size=3))
def test_no_other_plans_are_better_together(found, objective, devices, weights):
    lists = [[replace(option, accuracy=0.3 + 0.1 * place) for place, option in enumerate(own)] for own in found]
    problems = [Problem((StageModel("a", tuple(own)),), 20.0, 12.0, objective, Waits(), {"cpu": 9}) for own in lists]
    weights = weights[:len(problems)]
    together = plan_cluster(problems, devices, weights)
    expected = best_together(problems, devices, weights)
    if expected is None:
        assert isinstance(together, Infeasible)
    else:
        assert together.value == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert together.exact
        assert all(together.used.get(kind, 0) <= units + 1e-9 for kind, units in devices.items())


def test_the_one_gpu_goes_to_the_pipeline_it_saves_most():
    one, other = pipeline(option(5.0), option(1.0, "gpu")), pipeline(option(9.0), option(1.0, "gpu"))
    assert plan_cluster([one, other], {}).value == (-2.0,)
    assert plan_cluster([one, other], {"gpu": 1}).value == (-6.0,)
    assert plan_cluster([one, other], {"gpu": 1}, [3.0, 1.0]).value == (-12.0,)  # 3 * 1 + 9 < 3 * 5 + 1


def test_too_little_for_all_names_the_kind_and_the_units():
    found = plan_cluster([pipeline(option(1.0, units=2.0)), pipeline(option(1.0, units=3.0))], {"cpu": 4})
    assert found.binding == ("cpu",)
    assert found.added == {"cpu": 1.0}
    assert isinstance(plan_cluster([pipeline(option(1.0, units=2.0)), pipeline(option(1.0, units=3.0))], {"cpu": 5}), ClusterPlan)


def test_a_pipeline_that_fits_nowhere_is_explained():
    late = replace(pipeline(option(1.0)), slo_ms=0.5)
    found = plan_cluster([pipeline(option(1.0)), late], {"cpu": 4})
    assert found.binding == ("slo",)
    assert found.least_slo_ms == 1.0


@pytest.mark.parametrize(("problems", "weights"), [([], None), ([pipeline(option(1.0))], [1.0, 2.0]), ([pipeline(option(1.0))], [-1.0]),
                                                   ([pipeline(option(1.0)), pipeline(option(1.0), objective=MostAccurate())], None)])
def test_what_cannot_be_planned_together_is_refused(problems, weights):
    with pytest.raises(ValueError):
        plan_cluster(problems, {}, weights)
