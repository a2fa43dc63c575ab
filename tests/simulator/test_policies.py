"""Every policy of the product runs in the simulator as it is, and what it decides is carried out."""

from dataclasses import replace
from math import ceil

import pytest

from autoscaler.forecast.plain import Oracle
from autoscaler.planner.model import Share
from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.registry import SPECS
from autoscaler.policies.sluice import Knowledge, Sluice
from simulator.arrivals import Arrivals, Even
from simulator.network import Station, chain
from simulator.scenario import Control, Scenario
from simulator.simulation import simulate
from simulator.truth import Truth, believed
from tests.simulator.builders import option, scenario

COUNTS = [20.0] * 12 + [90.0] * 12 + [20.0] * 11


def ladder():
    """Two variants on 1, 2 and 4 cores in batches of 1 and 4: 40 and 20 ms of a core for a row."""
    return tuple(option(variant, batch, float(cores), work_ms * (0.3 + 0.7 * batch) / cores ** 0.8, accuracy)
                 for variant, work_ms, accuracy in (("large", 40.0, 0.9), ("small", 20.0, 0.8)) for cores in (1, 2, 4) for batch in (1, 4))


def made(**fields) -> Scenario:
    first = {name: (Share(ladder()[0], 2),) for name in ("a", "b")}
    built = scenario(first, chain(Station("a"), Station("b")), arrivals=Arrivals(Even(COUNTS), 0.6), truth=Truth(believed, 0.05),
                     options=dict.fromkeys("ab", ladder()), slo_s=0.6, devices={"cpu": 40.0}, **fields)
    stages = tuple(replace(stage, after=() if stage.name == "a" else ("a",)) for stage in built.problem.stages)
    return replace(built, problem=replace(built.problem, stages=stages, devices={"cpu": 40.0}))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_policy_runs(spec):
    case = made()
    run = simulate(case, Control(spec.build(case.problem), Oracle(COUNTS)), seed=2)
    assert run.tally.events == sum(COUNTS)
    assert run.decisions == ceil(len(COUNTS) / spec.build(case.problem).interval_s) - 1
    assert max(second.held["cpu"] for second in run.records.seconds) <= 40.0 + 1e-9


def test_planning_for_the_surge_pays():
    """What runs at first carries 50/s. FA2 batches when 90 come, and lets replicas go when they do not: fewer are late, for fewer cores."""
    case = made()
    still, scaled = simulate(case, seed=2), simulate(case, Control(Fa2(case.problem), Oracle(COUNTS)), seed=2)
    assert scaled.tally.outcomes[0] > still.tally.outcomes[0]
    assert scaled.held_s["cpu"] < still.held_s["cpu"]


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_a_policy_that_sees_how_slow_its_stages_are_keeps_deadlines_on_a_machine_slower_than_its_profile(bias: float):
    case = replace(made(), truth=Truth(believed, 0.05, bias), arrivals=Arrivals(Even([60.0] * 90), 0.6))
    blind, seeing = (Sluice(case.problem, knowledge=Knowledge(slowness=known)) for known in (False, True))
    late = {policy.knowledge.slowness: 1 - simulate(case, Control(policy, Oracle([60.0] * 90)), seed=2).tally.outcomes[0] / (60 * 90)
            for policy in (blind, seeing)}
    if bias:
        assert late[True] < 0.5 * late[False]
    else:
        assert late[True] <= late[False] + 0.002
