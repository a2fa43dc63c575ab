"""The MILP oracle: what it can say, and where it says that it cannot."""

from dataclasses import dataclass, replace

import pytest

from autoscaler.planner import milp
from autoscaler.planner.evaluate import evaluate
from autoscaler.planner.milp import Unsolved
from autoscaler.planner.model import GivenVariant, Infeasible, Plan, RateTerm
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from tests.planner.solvers import option, problem, stage


def row(accuracies, costs):
    return tuple(option(1, cost=cost, accuracy=accuracy, variant=f"v{index}")
                 for index, (accuracy, cost) in enumerate(zip(accuracies, costs, strict=True)))


THREE = tuple(stage(name, *row((0.5, 0.8, 0.9), (1.0, 2.0, 4.0)), after=after) for name, after in (("a", ()), ("b", ("a",)), ("c", ("b",))))


def test_no_time_left_is_unsolved_and_not_infeasible():
    ticks = iter(range(100))
    found = milp.solve(problem(*THREE), time_limit_s=0.5, now=lambda: float(next(ticks)))
    assert found == Unsolved("time limit")


@pytest.mark.parametrize(("alpha", "value"), [
    (0.0, -3.0),  # the cheapest of all
    (10.0, 10 * 0.8 ** 3 - 6),  # 0.512 * 10 - 6 = -0.88 beats 0.125 * 10 - 3 = -1.75 and .576 * 10 - 8
    (100.0, 100 * 0.9 ** 3 - 12),  # 60.9 beats 0.648 * 100 - 10 = 54.8
])
def test_weights_on_a_product_of_accuracies_are_solved_exactly(alpha, value):
    found = milp.solve(problem(*THREE, objective=Weighted(alpha, 1.0)))
    assert found.value[0] == pytest.approx(value, rel=1e-12)


def test_a_factor_of_zero_is_taken_only_where_nothing_else_is_left_or_accuracy_does_not_count():
    zero = (stage("a", *row((0.0, 0.5), (1.0, 2.0))), stage("b", *row((0.0, 0.9), (1.0, 5.0)), after=("a",)))
    assert milp.solve(problem(*zero, objective=MostAccurate())).value == (pytest.approx(0.45), -7.0)
    assert milp.solve(problem(*zero, objective=MostAccurate(budget=6.0))).value == (0.0, -2.0)
    assert milp.solve(problem(*zero, objective=Weighted(1.0, 1.0))).value[0] == pytest.approx(-2.0)
    assert milp.solve(problem(*zero, objective=LeastCost(min_accuracy=0.01))).value == (-7.0,)


def test_a_least_accuracy_met_exactly_is_met():
    assert milp.solve(problem(*THREE, objective=LeastCost(min_accuracy=0.9 * 0.8 * 0.8))).value == (-8.0,)
    assert milp.solve(problem(*THREE, objective=LeastCost(min_accuracy=0.9 * 0.8 * 0.8 + 1e-9))).value == (-10.0,)  # 1e-9 is less than HiGHS sees


def test_the_cheapest_of_equally_accurate_plans_and_the_most_accurate_of_equally_cheap_ones():
    ways = (stage("a", *row((0.9, 0.9, 0.89), (3.0, 2.0, 1.0))),)
    assert milp.solve(problem(*ways, objective=MostAccurate())).value == (0.9, -2.0)
    ways = (stage("a", *row((0.95, 0.94, 0.96), (3.0, 2.0, 2.0))),)
    assert milp.solve(problem(*ways, objective=CheapestOfAccurate(0.1))).value == (9.0, -2.0, 0.96)


@dataclass(frozen=True)
class Unheard:
    """An objective that has no program."""

    def value(self, totals):
        return (-totals.cost,)

    def allows(self, totals):
        return True

    def needs_accuracy(self):
        return False


def test_an_objective_without_a_program_is_refused():
    with pytest.raises(ValueError, match="no program"):
        milp.solve(problem(*THREE, objective=Unheard()))


def test_a_strict_deadline_on_and_off_the_grid():
    asked = problem(stage("a", option(10), option(9, cost=2.0, variant="fast")), slo_ms=10.0)
    assert milp.solve(asked).value == (-1.0,)
    assert milp.solve(replace(asked, strict=True)).value == (-2.0,)
    assert milp.solve(replace(asked, strict=True, slo_ms=10.5)).value == (-1.0,)
    assert isinstance(milp.solve(replace(asked, slo_ms=8.9)), Infeasible)


def test_a_graph_on_which_presolve_loses_the_best_plan():
    def ways(*latencies_ms):
        return tuple(option(latency_ms, cost=0.7, throughput=7.0, variant=f"m{index}") for index, latency_ms in enumerate(latencies_ms))

    half = {"m0": 0.5, "m1": 0.5}
    asked = problem(
        stage("a", *ways(1, 15), most=2), stage("b", *ways(3, 1), after=("a",), most=2),
        stage("c", *ways(1), after=("a",), rates=(RateTerm("a", 1.0, half),), accuracy_given=GivenVariant("a", {("m1", "m0"): 0.5}), most=2),
        stage("d", *ways(1), after=("b",), rates=(RateTerm("b", 1.0, {"m0": 1.0, "m1": 0.5}),), most=2),
        stage("e", option(30, cost=0.7, variant="m0"), *ways(1, 16)[1:], after=("b", "c"), rates=(RateTerm("b", 1.0, half), RateTerm("c", 0.5)), most=2),
        stage("f", *ways(1, 1), after=("d", "e"), rates=(RateTerm("d", 1.0, {"m0": 0.5}), RateTerm("e", 0.5)), most=2), slo_ms=110)
    # 10 rows/s at a and b, two replicas each; with m1 in b 5 at c and d, 7.5 at e, 2.5 + 3.75 at f, one each: 8 * 0.7
    assert milp.solve(asked).value == pytest.approx((-5.6,))


def test_a_large_problem_is_solved_and_holds():
    ways = tuple(option(3 + 2 * batch / cores, cost=cores, throughput=1000 * batch / (3 + 2 * batch / cores), batch=batch, units=cores)
                 for batch in (1, 2, 4, 8, 16, 32, 64) for cores in (1.0, 2.0, 4.0, 8.0))
    asked = problem(*(stage(f"s{index}", *ways, after=(f"s{index - 1}",) if index else ()) for index in range(8)), rate=400.0, slo_ms=200.0)
    found = milp.solve(asked)
    assert isinstance(found, Plan)
    assert evaluate(asked, found).violations == ()
