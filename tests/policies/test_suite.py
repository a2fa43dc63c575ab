"""What every registered policy keeps to."""

import copy
import itertools
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.policies.policy import Pool, StageState, State
from autoscaler.policies.registry import POLICIES, SPECS, policy
from tests.policies.suite import FORECAST, NO_FORECAST, PROBLEMS, at_start, check, decide, problem, state, step

EVERY = pytest.mark.parametrize("name", sorted(POLICIES))
RATES = ((), (0.0,), (0.0, 0.0, 0.0), (1.0,), (40.0, 80.0), (5000.0,))
FORECASTS = (FORECAST, NO_FORECAST, replace(FORECAST, surge=0.9))
EACH = pytest.mark.parametrize("shape", sorted(PROBLEMS))


def test_names_are_unique_and_told_to_who_errs():
    assert len(POLICIES) == len(SPECS)
    with pytest.raises(KeyError, match="no policy is called 'nobody'"):
        policy("nobody", PROBLEMS["single"])


@EVERY
def test_describes_itself(name):
    built = policy(name, PROBLEMS["chain"])
    assert built.name == name
    assert built.interval_s > 0
    assert POLICIES[name].describe


@EVERY
@EACH
def test_same_input_same_decision(name, shape):
    of = PROBLEMS[shape]
    seen = state(of)
    first, second = decide(policy(name, of), seen), decide(policy(name, of), copy.deepcopy(seen))
    assert first == second
    after = step(seen, first, 1.0, 45.0)
    assert decide(policy(name, of), after, memory=first.memory) == decide(policy(name, of), after, memory=copy.deepcopy(second.memory))


@EVERY
@EACH
def test_keeps_within_what_there_is(name, shape):
    of = PROBLEMS[shape]
    built = policy(name, of)
    for rates, forecast in itertools.product(RATES, FORECASTS):
        check(of, state(of, rates), decide(built, state(of, rates), forecast))
    for rates in RATES:
        check(of, at_start(of, rates), decide(built, at_start(of, rates), NO_FORECAST))


@EVERY
def test_starts_something_where_nothing_runs(name):
    of = PROBLEMS["chain"]
    seen, memory = at_start(of, (10.0,)), None
    for _ in range(3):
        decision = decide(policy(name, of), seen, memory=memory)
        seen, memory = step(seen, decision, 400.0, 10.0), decision.memory
    started = {stage for stage, after in seen.stages.items() if any(pool.replicas for pool in after.pools)}
    assert started == {"first", "second"} or "stabilising" in decision.reason or "measuring" in decision.reason


@EVERY
def test_an_slo_that_nothing_meets_is_answered(name):
    of = problem({"first": (), "second": ("first",)}, slo_ms=3.0)
    seen, memory = state(of), None
    for _ in range(4):
        decision = decide(policy(name, of), seen, memory=memory)
        check(of, seen, decision)
        seen, memory = step(seen, decision, 60.0, 40.0), decision.memory


@EVERY
def test_as_few_devices_as_the_stages_need(name):
    of = problem({"first": (), "second": ("first",)}, cores=2.0)
    seen = state(of, (500.0,))
    check(of, seen, decide(policy(name, of), seen))


@EVERY
def test_memory_survives_being_written_down(name):
    of = PROBLEMS["chain"]
    built, seen, memory = policy(name, of), state(of), None
    for rate in (40.0, 70.0, 20.0, 20.0):
        decision = decide(built, seen, memory=memory)
        assert pickle.loads(pickle.dumps(decision.memory)) == decision.memory
        after = step(seen, decision, built.interval_s, rate)
        assert decide(built, after, memory=pickle.loads(pickle.dumps(decision.memory))) == decide(built, after, memory=decision.memory)
        seen, memory = after, decision.memory


LEVELS = st.floats(0.0, 1.0)


@st.composite
def seen_states(draw: st.DrawFn) -> State:
    of = PROBLEMS["diamond"]
    stages = {}
    for stage in of.stages:
        pools = tuple(Pool(draw(st.sampled_from(stage.options[:3])), draw(st.integers(0, 3)), draw(st.integers(0, 2))) for _ in range(1))
        stages[stage.name] = StageState(
            pools, rate=draw(st.floats(0, 300)), queue=draw(st.integers(0, 500)), lag=draw(st.integers(0, 500)), busy=draw(LEVELS),
            utilization=draw(st.none() | LEVELS), true_rate=draw(st.none() | st.floats(1, 500)), violations=draw(LEVELS))
    rates = tuple(draw(st.lists(st.floats(0, 400), max_size=8)))
    return State(draw(st.floats(0, 1e6)), rates, stages, tuple(draw(st.lists(st.floats(0, 1000), max_size=4))))


@EVERY
@settings(max_examples=8, deadline=None)
@given(seen=seen_states(), later=st.lists(st.floats(0, 300), min_size=1, max_size=3))
def test_whatever_is_seen(name, seen, later):
    of = PROBLEMS["diamond"]
    built, memory = policy(name, of), None
    for rate in later:
        decision = decide(built, seen, memory=memory)
        check(of, seen, decision)
        seen, memory = step(seen, decision, built.interval_s, rate), decision.memory
