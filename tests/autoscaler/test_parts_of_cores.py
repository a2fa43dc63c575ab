"""Plans of parts of a core: ordered exactly, confirmed, written down, and adopted by a sidecar that starts anew."""

import asyncio
import json

import pytest

from autoscaler.control.lanes import order, pools, standing
from autoscaler.control.records import recorded
from autoscaler.control.steps import steps
from autoscaler.forecast.plain import WindowMax
from autoscaler.metrics import SidecarMetrics
from autoscaler.planned import Plant, PolicyLoop
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.model import Share
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile
from autoscaler.policies.change_times import measured
from autoscaler.policies.sluice import Sluice
from tests.autoscaler.test_actuators import over_http
from tests.autoscaler.world import MemoryService, World, pipeline

EIGHTHS = tuple(eighths / 8 for eighths in range(1, 9))


def point(batch, cores):
    ms = {1: 10, 8: 40}[batch] / cores
    return Point(batch, cores, ms, ms, ms, 1000 * batch / ms)


PROFILE = Profile("digits", (StageProfile("classify", (
    VariantProfile("cnn", "cpu", tuple(point(batch, cores) for cores in EIGHTHS for batch in (1, 8)), 4.0, 3.0, 1.0),)),))
PROBLEM = problem_of(pipeline(), PROFILE, 1.0)
STAGE = PROBLEM.stages[0]


def service(cores=0.25):
    return MemoryService(wanted={"cnn": {"replicas": 1, "batch": 8, "cores": cores, "share": 1.0}})


def world(actuator):
    plant = Plant(pipeline(), PROBLEM, Sluice(PROBLEM, measured(PROFILE)), WindowMax(30), actuator)
    return World(PolicyLoop(plant, SidecarMetrics("digits"), lambda: 0.0), actuator)


@pytest.mark.parametrize("cores", [0.125, 0.375, 1.0])
def test_a_plan_reaches_the_service_and_reads_back(cores):
    async def scenario():
        option = next(one for one in STAGE.options if (one.units, one.batch) == (cores, 8))
        wanted = order(STAGE, (Share(option, 1),))
        behind = service(0.5)
        async with over_http(behind) as actuator:
            (step,) = steps({"classify": standing(await actuator.lanes("classify"))}, {"classify": wanted})
            assert json.dumps(step.body) == json.dumps({"cores": 1 if cores == 1 else cores})
            lanes = await actuator.set("classify", step.body)
        assert standing(lanes) == wanted
        assert [pool.option for pool in pools(STAGE, lanes)] == [option]

    asyncio.run(scenario())


def test_a_burst_is_met_by_parts_of_cores_and_a_sidecar_started_anew_adopts_them():
    at = world(service())
    at.run(10, 20)
    at.run(20, 150)  # a core carries 200
    parts = [call["cores"] for call in at.service.calls if "cores" in call]
    assert any(cores % 1 for cores in parts)
    assert all((8 * cores) % 1 == 0 for cores in parts)
    assert {outcome for _, outcome in at.outcomes} == {"confirmed"}
    replicas, cores = at.service.running
    assert replicas * cores >= 0.75
    pool = recorded(at.decided[-1], PROBLEM).state.stages["classify"].pools[0]
    assert (pool.replicas, pool.option.units) == (replicas, cores)

    after = world(at.service)
    after.loop.restore([json.dumps(one).encode() for one in at.records])
    after.now_s, after.events, after.sequence = at.now_s, at.events, at.sequence
    calls = len(at.service.calls)
    told = after.run(3, 150)
    assert len(at.service.calls) == calls
    assert told[-1]["inputs"]["stages"]["classify"]["pools"][0]["units"] == cores
