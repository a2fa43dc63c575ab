"""Both programs against searches that share no code with them: the planner's exhaustive oracle, and every combination of sizes."""

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner import exhaustive
from autoscaler.planner.model import Option, Plan, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.horizontal_dp import horizontal
from autoscaler.policies.latency_dp import steps_of
from autoscaler.policies.stage_rates import gains
from autoscaler.policies.vertical_dp import Fixed, hybrid, largest_vertical, vertical

SIZING = FillWait(Fill.MEAN, headroom_sigmas=1.0, whole=True)
SHAPES = [
    {"a": ()},
    {"a": (), "b": ("a",), "c": ("b",)},
    {"a": (), "b": ("a",), "c": ("a",)},
    {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
]


@st.composite
def problems(draw: st.DrawFn, sizes: tuple[int, ...]) -> Problem:
    stages = []
    for name, after in draw(st.sampled_from(SHAPES)).items():
        per_row, fixed, cost = draw(st.integers(2, 30)), draw(st.integers(0, 30)), draw(st.integers(1, 5))
        options = tuple(Option("v", batch, size, ms := per_row * batch / size + fixed, 1000 * batch / ms, 1.0, float(cost * size))
                        for size in sizes for batch in (1, 2, 4))
        rates = (RateTerm(after[0], draw(st.sampled_from([0.5, 1.0, 2.0]))),) if after else ()
        stages.append(StageModel(name, options, after, rates, most=draw(st.sampled_from([2, 1000]))))
    return Problem(tuple(stages), float(draw(st.integers(1, 150))), float(draw(st.integers(20, 400))), LeastCost(), SIZING,
                   strict=draw(st.booleans()))


@settings(max_examples=80, deadline=None)
@given(problems(sizes=(1,)))
def test_horizontal_is_what_trying_every_plan_finds(of):
    plan = horizontal(of, of.rate, {stage.name: stage.options for stage in of.stages}, SIZING)
    best = exhaustive.solve(of)
    assert (plan is not None) == isinstance(best, Plan)
    if plan is not None:
        assert sum(share.replicas * share.option.cost for share in plan.values()) == best.totals.cost


def carries(of: Problem, rate: float, fixed, chosen) -> bool:
    at_each = gains(of, dict.fromkeys(fixed, "v"))
    done: dict[str, float] = {}
    for stage in of.stages:
        option, stage_rate = chosen[stage.name], rate * at_each[stage.name]
        if fixed[stage.name].replicas * option.throughput < SIZING.demand(stage_rate):
            return False
        taken = steps_of(option.latency_ms + SIZING.wait_ms(option, stage_rate, 1), of.grid_ms)
        done[stage.name] = taken + max((done[before] for before in stage.after), default=0)
    return max(done.values()) < of.slo_ms if of.strict else max(done.values()) <= of.slo_ms


@settings(max_examples=60, deadline=None)
@given(problems(sizes=(1, 2)), st.integers(1, 3))
def test_vertical_takes_the_fewest_cores(of, replicas):
    fixed = {stage.name: Fixed(replicas, stage.options) for stage in of.stages}
    plan = vertical(of, of.rate, fixed, SIZING)
    chosen = (dict(zip(fixed, options, strict=True)) for options in itertools.product(*(stage.options for stage in of.stages)))
    fewest = min((sum(option.units for option in one.values()) for one in chosen if carries(of, of.rate, fixed, one)), default=None)
    assert (sum(share.option.units for share in plan.values()) if plan else None) == fewest
    if plan is not None:
        assert all(share.replicas == replicas for share in plan.values())


@settings(max_examples=40, deadline=None)
@given(problems(sizes=(1, 2)))
def test_the_hybrid_step_carries_the_rest(of):
    of = replace(of, slo_ms=of.slo_ms + 200, stages=tuple(replace(stage, rates=tuple(replace(term, factor=1.0) for term in stage.rates))
                                                         for stage in of.stages))
    fixed = {stage.name: Fixed(1, stage.options) for stage in of.stages}
    plan, found = hybrid(of, of.rate, fixed, SIZING), largest_vertical(of, of.rate, fixed, SIZING)
    if plan is None:
        assert vertical(of, of.rate, fixed, SIZING) is None
        assert found is None
        return
    at_each = gains(of, dict.fromkeys(fixed, "v"))
    for name, share in plan.items():
        assert share.replicas * share.option.throughput >= of.rate * at_each[name] - 1e-6
