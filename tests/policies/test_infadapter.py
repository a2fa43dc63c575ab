"""InfAdapter: the reference optima, the rules around them, and an exhaustive search as oracle."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.infadapter import InfAdapter, Line, Memory, ms_plus
from autoscaler.policies.policy import Forecast, Pool, StageState, State

ACCURACY = {"18": 0.69758, "34": 0.73314, "50": 0.7613, "101": 0.77374, "152": 0.78312}
FITTED = {"18": (24.4462, -6.1667), "34": (13.0444, -1.875), "50": (10.3212, -3.7917), "101": (5.0901, 0.0417), "152": (3.8145, -2.25)}
LOAD_S = {"18": 6.44, "34": 6.79, "50": 6.82, "101": 7.77, "152": 8.52}

# rows/s: ({variant: cores}, objective) at alpha 0.05, {variant: cores} at alpha 0.2; all with 152 on 20 cores before
OPTIMA = {
    30: ({"152": 11}, 0.75462, {"50": 4}),
    50: ({"50": 5, "101": 3}, 0.74337, {"50": 7}),
    80: ({"50": 10}, 0.73550, {"50": 10}),
    100: ({"50": 13}, 0.72800, {"18": 4, "34": 3}),
    150: ({"50": 19}, 0.71300, {"18": 8}),
    200: ({"18": 4, "50": 16}, 0.68788, {"18": 11}),
    250: ({"18": 8, "34": 2, "50": 10}, 0.67001, {"18": 14}),
    300: ({"18": 13, "50": 7}, 0.65846, {"18": 16}),
}


def problem(stages: int = 1) -> Problem:
    """ResNets on 1..20 cores, capacities on the published lines."""
    options = tuple(Option(variant, 1, float(cores), 100.0, max(k1 * cores + k0, 0.1), ACCURACY[variant], float(cores))
                    for variant, (k1, k0) in FITTED.items() for cores in range(1, 21))
    names = [f"stage {place}" for place in range(stages)]
    chain = tuple(StageModel(name, options, after=tuple(names[:place][-1:])) for place, name in enumerate(names))
    return Problem(chain, 30.0, 750.0, Weighted(1.0, 0.05 / 20), NoWait(), {"cpu": 20.0})


def policy(**fields) -> InfAdapter:
    return replace(InfAdapter.of(problem()), load_s=LOAD_S, **fields)


def running(given_problem: Problem, rate: float, **cores: int) -> State:
    stage = given_problem.stages[0]
    pools = tuple(Pool(option, 1, share=1 / len(cores)) for option in stage.options
                  if cores.get(f"r{option.variant}") == round(option.units))
    return State(0.0, (rate,), {stage.name: StageState(pools)})


def cores_of(shares: tuple[Share, ...]) -> dict[str, int]:
    return {share.option.variant: round(share.option.units) for share in shares}


@pytest.mark.parametrize("rate", OPTIMA)
def test_the_reference_optima(rate):
    cores, objective, at_greater_alpha = OPTIMA[rate]
    stage = problem().stages[0]
    shares, reason = policy().choose(stage, rate, {"152": 20}, 20)
    assert cores_of(shares) == cores
    assert f"objective {objective:.5f} " in reason
    assert cores_of(policy(alpha=0.2).choose(stage, rate, {"152": 20}, 20)[0]) == at_greater_alpha


@pytest.mark.parametrize(("variant", "used"), [("18", -6), ("34", -1), ("50", -3), ("101", 0), ("152", -2)])
def test_the_line_is_fitted_and_its_constant_cut(variant, used):
    k1, k0 = FITTED[variant]
    line = Line.fit({cores: k1 * cores + k0 for cores in (1, 2, 4, 8, 16)})
    assert line.k1 == pytest.approx(k1)
    assert line.k0 == used


def test_a_constant_above_one_is_cut_to_nothing():
    assert Line.fit({1: 15.0, 2: 25.0}) == Line(10.0, 0)  # 10 * cores + 5, int(min(5, 0.99)) = 0


def test_the_most_accurate_is_filled_first():
    shares, _ = policy().choose(problem().stages[0], 50, {"152": 20}, 20)
    assert [(share.option.variant, share.share) for share in shares] == [("101", 12 / 50), ("50", 38 / 50)]  # floor(.8 * 5.0901 * 3) = 12


def test_more_than_all_cores_carry_goes_to_the_lightest_on_all():
    shares, reason = policy().choose(problem().stages[0], 1000, {}, 20)
    assert cores_of(shares) == {"18": 20}
    assert "more than 20 cores carry" in reason


def test_what_runs_costs_no_loading():
    stage = problem().stages[0]
    changed, _ = policy(beta=10.0).choose(stage, 80, {"152": 20, "50": 12}, 20)
    assert cores_of(changed) == {"50": 12}  # 10 would do, but resizing it loads for 6.82 s


@settings(max_examples=15, deadline=None)
@given(rate=st.integers(1, 80), alpha=st.sampled_from([0.05, 0.2, 0.0]), beta=st.sampled_from([0.0, 0.001, 0.2]),
       before=st.dictionaries(st.sampled_from(["18", "50", "152"]), st.integers(2, 7), max_size=2))
def test_no_other_set_is_better(rate, alpha, beta, before):
    chosen = policy(alpha=alpha, beta=beta, budget=7)
    stage = problem().stages[0]
    _, reason = chosen.choose(stage, rate, before, 7)
    ladders = chosen.ladders(stage, 7)
    best = -math.inf
    for cores in itertools.product((0, *range(2, 8)), repeat=5):
        if sum(cores) > 7:
            continue
        left, mass, loading = rate, 0.0, 0.0
        for ladder, count in zip(ladders, cores, strict=True):
            part = min(left, max(math.floor(0.8 * (FITTED[ladder.variant][0] * count + _cut(ladder.variant))), 0) if count else 0)
            left, mass = left - part, mass + part * ladder.accuracy
            loading = max(loading, LOAD_S[ladder.variant] if count and before.get(ladder.variant) != count else 0.0)
        if left == 0:
            best = max(best, mass / rate - alpha * sum(cores) / 7 - beta * loading / 8.52)
    if best == -math.inf:
        assert "more than 7 cores carry" in reason
    else:
        assert float(reason.split()[1]) == pytest.approx(best, abs=1e-5)


def _cut(variant: str) -> int:
    return {"18": -6, "34": -1, "50": -3, "101": 0, "152": -2}[variant]


def test_fewer_cores_only_when_four_decisions_in_a_row_say_so():
    chosen = policy(margin=0.0, budget=20)
    state = running(chosen.problem, 80.0, r152=20)
    forecast = Forecast(60.0, {0.5: 15.0})
    memory, seen = None, []
    for _ in range(4):
        decision = chosen.decide(state, forecast, memory)
        memory = decision.memory
        seen.append(cores_of(decision.targets["stage 0"].shares))
    assert seen[:3] == [{"152": 20}] * 3
    assert sum(seen[3].values()) < 20
    assert memory == Memory({"stage 0": 0})


def test_more_cores_at_once():
    chosen = policy(margin=0.0)
    state = running(chosen.problem, 80.0, r50=4)
    decision = chosen.decide(state, Forecast(60.0, {0.5: 80.0}), None)
    assert sum(cores_of(decision.targets["stage 0"].shares).values()) > 4


def test_the_margin_is_added_to_the_forecast():
    chosen = policy()
    state = running(chosen.problem, 1.0, r152=20)
    decision = replace(chosen, steps_before_down=0).decide(state, Forecast(60.0, {0.5: 100.0}), None)
    with_margin, _ = chosen.choose(chosen.problem.stages[0], 110.0, {"152": 20}, 20)
    assert decision.targets["stage 0"].shares == with_margin


def test_one_variant_at_a_time_is_ms_plus():
    chosen = replace(ms_plus(problem()), load_s=LOAD_S)
    shares, _ = chosen.choose(problem().stages[0], 50, {"152": 20}, 20)
    # one variant for 50 rows/s: 50 on 7 cores, .7613 - .05 * 7 / 20 = .7438; 152 on 17: .7406 less; 101 on 13: .7413
    assert cores_of(shares) == {"50": 7}
    assert chosen.choose(problem().stages[0], 250, {}, 20)[0][0].option.variant == "18"


def test_a_set_is_never_worse_than_one():
    stage = problem().stages[0]
    for rate in range(10, 300, 29):
        both = [float(found.split()[1]) for found in (policy().choose(stage, rate, {}, 20)[1], policy(sets=False).choose(stage, rate, {}, 20)[1])
                if found.startswith("objective")]
        assert len(both) == 1 or both[0] >= both[1] - 1e-9


def test_a_profile_of_one_size_is_scaled_by_replicas():
    options = (Option("a", 1, 1.0, 100.0, 10.0, 0.7, 1.0), Option("b", 1, 1.0, 200.0, 5.0, 0.9, 1.0))
    chosen = InfAdapter.of(replace(problem(), stages=(StageModel("one", options),)))
    shares, _ = chosen.choose(chosen.problem.stages[0], 12, {}, 20)
    assert [(share.option.variant, share.replicas, share.share) for share in shares] == [("b", 3, 1.0)]  # floor(.8 * 5 * 3) = 12
