"""Problems and states for the tests that every registered policy must pass, and the checks themselves."""

from __future__ import annotations

import copy
from dataclasses import replace

from autoscaler.planner.model import Option, Problem, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from autoscaler.policies.policy import Decision, Forecast, Policy, Pool, StageState, State

FORECAST = Forecast(10.0, {0.5: 40.0, 0.9: 60.0, 0.99: 80.0})
NO_FORECAST = Forecast(10.0, {})


def options(batch_ms: float = 8.0, fixed_ms: float = 10.0, accuracies: tuple[float, ...] = (0.7, 0.8)) -> tuple[Option, ...]:
    """Two variants, the second half as slow again; 1, 2 or 4 cores; batches of 1, 2, 4, 8."""
    found = []
    for index, accuracy in enumerate(accuracies):
        for cores in (1, 2, 4):
            for batch in (1, 2, 4, 8):
                ms = (1 + index / 2) * (batch_ms * batch / cores + fixed_ms)
                found.append(Option(f"v{index}", batch, float(cores), ms, 1000 * batch / ms, accuracy, float(cores)))
    return tuple(found)


def problem(shape: dict[str, tuple[str, ...]], rate: float = 40.0, slo_ms: float = 400.0, cores: float = 24.0) -> Problem:
    """shape: stage to those before it."""
    stages = tuple(StageModel(name, options(), after=after, least=1, most=12) for name, after in shape.items())
    return Problem(stages, rate, slo_ms, LeastCost(), FillWait(), devices={"cpu": cores})


SINGLE = problem({"only": ()})
CHAIN = problem({"first": (), "second": ("first",)})
DIAMOND = problem({"split": (), "left": ("split",), "right": ("split",), "join": ("left", "right")})
PROBLEMS = {"single": SINGLE, "chain": CHAIN, "diamond": DIAMOND}


def state(of: Problem, rates: tuple[float, ...] = (30.0, 35.0, 40.0), replicas: int = 1, now_s: float = 100.0, **fields: object) -> State:
    """Every stage runs `replicas` of its first option. fields: of every stage's state."""
    stages = {}
    for stage in of.stages:
        seen = StageState((Pool(stage.options[0], replicas),), rate=rates[-1] if rates else 0.0, busy=0.6, utilization=0.6)
        stages[stage.name] = replace(seen, **fields)
    return State(now_s, rates, stages)


def at_start(of: Problem, rates: tuple[float, ...] = ()) -> State:
    """Nothing runs and nothing is known."""
    return State(0.0, rates, {stage.name: StageState(()) for stage in of.stages})


def step(before: State, decision: Decision, seconds: float, rate: float) -> State:
    """What runs once the decision took effect, that much later."""
    stages = {}
    for name, seen in before.stages.items():
        target = decision.targets.get(name)
        if target is None:
            stages[name] = replace(seen, rate=rate)
            continue
        pools = tuple(Pool(share.option, share.replicas, 0, share.share) for share in target.shares if share.replicas)
        stages[name] = replace(seen, pools=pools, rate=rate, parallelism=target.parallelism or seen.parallelism)
    return State(before.now_s + seconds, (*before.rates[-60:], rate), stages)


def decide(policy: Policy, seen: State, forecast: Forecast = FORECAST, memory: object = None) -> Decision:
    """The decision, once it is clear that what went in was left as it was."""
    kept = copy.deepcopy((seen, forecast, memory))
    decision = policy.decide(seen, forecast, memory)
    assert (seen, forecast, memory) == kept, f"{policy.name} changes what it is given"
    return decision


def check(of: Problem, seen: State, decision: Decision) -> None:
    """Only stages that exist, replicas within bounds, options of the stage, shares of the whole, devices held, a reason."""
    assert decision.reason
    assert set(decision.targets) <= {stage.name for stage in of.stages}
    used: dict[str, float] = {}
    for stage in of.stages:
        target = decision.targets.get(stage.name)
        if target is None:
            for pool in seen.stages[stage.name].pools:
                for kind, units in pool.option.uses().items():
                    used[kind] = used.get(kind, 0.0) + units * pool.replicas
            continue
        assert target.shares, f"{stage.name} is told to run nothing"
        assert sum(share.share for share in target.shares) <= 1 + 1e-6
        for variant in {share.option.variant for share in target.shares}:
            assert stage.least <= sum(share.replicas for share in target.shares if share.option.variant == variant) <= stage.most
        for share in target.shares:
            assert share.option in stage.options
            for kind, units in share.option.uses().items():
                used[kind] = used.get(kind, 0.0) + units * share.replicas
        assert target.parallelism is None or target.parallelism >= 1
    for kind, there_is in of.devices.items():
        assert used.get(kind, 0.0) <= there_is + 1e-9, f"{used[kind]} of {there_is} {kind}"
