"""Plans beyond the exact search: they can be had, and the bound holds, however little may be looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.planner.evaluate import evaluate
from autoscaler.planner.frontier import attempt, plan
from autoscaler.planner.model import Infeasible, Option, Plan, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import LeastCost, MostAccurate
from tests.planner.brute import PerVariant, Waits, brute, problems


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.sampled_from([0.0, 3e4, 1e6]))
def test_plans_can_be_had_and_none_is_better_than_the_bound(problem, work):
    found, best = attempt(problem, work), brute(problem)
    if isinstance(found, Infeasible):
        assert best is None or not found.proven
        return
    near = 1e-9 * max(1.0, abs(best[0]))
    assert evaluate(problem, found).violations == ()
    assert found.value[0] <= best[0] + near
    assert found.value[0] + found.gap >= best[0] - near
    assert not found.exact or found.value == pytest.approx(best, rel=1e-9, abs=1e-12)


def options(count):
    return tuple(Option(f"v{place}", 1, 1.0, 5.0 + 3 * place, 50.0 / (1 + place), 0.6 + 0.05 * place, 1.0) for place in range(count))


def test_a_long_chain_of_conditioned_rates():
    more = {f"v{place}": 0.5 + 0.2 * place for place in range(5)}
    stages = [StageModel(f"s{place}", options(5), *([(f"s{place - 1}",), (RateTerm(f"s{place - 1}", 1.0, more),)] if place else [()])) for place in range(9)]
    problem = Problem(tuple(stages), 40.0, 120.0, LeastCost(), Waits())
    found = attempt(problem, work=2e8)
    assert isinstance(found, Plan)
    assert evaluate(problem, found).violations == ()
    assert not found.exact or found.gap == 0.0


def test_more_labels_than_may_be_looked_at():
    stages = [StageModel(f"s{place}", tuple(replace(option, cost=1.0 + 0.37 * number * (place + 1)) for number, option in enumerate(options(5))),
                         (f"s{place - 1}",) if place else ()) for place in range(8)]
    problem = Problem(tuple(stages), 40.0, 90.0, MostAccurate(40.0), Waits(fill=10.0))
    exact, short = attempt(problem), attempt(problem, work=1e5)
    assert exact.exact
    assert not short.exact
    assert short.value[0] <= exact.value[0] + 1e-12
    assert short.value[0] + short.gap >= exact.value[0] - 1e-12
    assert evaluate(problem, short).violations == ()


def test_a_price_of_change_that_is_no_sum_over_variants():
    class Whole(PerVariant):
        def price(self, stage, shares):
            return 5.0 if len(shares) > 1 else 0.0

    both = Option("x", 1, 1.0, 5.0, 10.0, 0.5, 1.0), Option("y", 1, 1.0, 5.0, 10.0, 0.9, 3.0)
    problem = Problem((StageModel("a", both, share_step=0.5),), 20.0, 10.0, LeastCost(0.6), Waits(), switching=Whole(by_variant=False))
    found, best = plan(problem), brute(problem)
    assert best == (-6.0,)  # y alone, 2 replicas; half and half costs 4 and 5 for the change
    assert found.value[0] <= -6.0 <= found.value[0] + found.gap
    assert found.totals.change in (0.0, 5.0)
