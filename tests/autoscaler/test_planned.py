import asyncio
import json
from dataclasses import replace

import pytest

from autoscaler.actuator import ActuationError
from autoscaler.choice import built, choice
from autoscaler.control.arrivals import Arrivals
from autoscaler.control.observation import Observation, state
from autoscaler.control.records import recorded
from autoscaler.control.replay import replay
from autoscaler.control.restraint import Mode
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.registry import POLICIES, policy
from tests.autoscaler.builders import telemetry, window
from tests.autoscaler.test_loop import metric
from tests.autoscaler.world import START_S, MemoryJob, MemoryService, pipeline, problem, world


def test_a_burst_is_met_in_place_first_and_calm_takes_it_back():
    at = world()
    at.run(8, 100)
    assert at.service.calls == []
    burst = at.run(8, 320)  # 1 replica of 2 cores carries 360
    grown = next(one for one in burst if one["stages"]["classify"]["actions"])
    assert grown["at_ms"] <= (START_S + 10) * 1000
    assert at.service.calls[0]["cores"] == 2
    assert at.service.running[0] * at.service.running[1] >= 2
    at.run(50, 60)
    assert at.service.running == (1, 1)
    assert {outcome for _, outcome in at.outcomes} == {"confirmed"}
    assert metric(at.loop, "sluice_autoscaler_decisions_total{pipeline=digits,stage=classify,action=up}") >= 1


def test_what_rows_use_of_their_slo_on_the_way_is_not_left_for_the_stages():
    at = world()
    at.run(20, 100)
    assert at.service.running == (1, 1)
    at.spent_ms = 440.0  # of 500; one core alone takes 40 for a full batch, and some to fill it
    at.run(20, 100)
    assert max(at.decided[-1]["inputs"]["spent_ms"]) == 440.0
    assert at.service.running[0] * at.service.running[1] > 1


@pytest.mark.parametrize(("used_ms", "shown_ms"), [(5.0, 0.0), (30.0, 18.0)])
def test_what_a_plan_leaves_for_the_way_anyway_is_not_taken_off_twice(used_ms, shown_ms):
    used = dict.fromkeys(("p50", "p95", "p99"), used_ms)
    planned = replace(problem(), slo_ms=pipeline().slo_ms - 12.0)
    seen = Observation(1000.0, Arrivals(), {"classify": window(telemetry(spent_ms=used))}, {"classify": ()})
    assert state(pipeline(), planned, seen).spent_ms == (shown_ms,)


def test_the_service_s_own_word_that_too_much_arrives_is_acted_on_between_the_intervals():
    at = world()
    at.run(10, 100)
    at.service.now_s = at.now_s + 0.2
    assert not at.loop.urgent
    telling = {**json.loads(asyncio.run(at._telemetry(100))), "arrivals": 160, "interval_s": 0.4, "at_ms": round((at.now_s + 0.2) * 1000)}
    at.loop.take(json.dumps(telling).encode(), at.now_s + 0.2)  # 400 rows/s, of which 1 replica carries 8 / 40.2 ms = 199
    assert at.loop.urgent
    at.loop.offsets(at.now_s + 0.2, {0: at.events // 2 + 40, 1: at.events - at.events // 2 + 40})
    assert asyncio.run(at.loop.step(at.now_s + 0.2)) is not None
    assert not at.loop.urgent


def test_advice_decides_and_changes_nothing():
    at = world(mode=Mode.ADVICE)
    at.run(5, 100)
    told = at.run(10, 320)
    assert at.service.calls == []
    assert {one["mode"] for one in told} == {"advice"}
    assert "advised" in {outcome for _, outcome in at.outcomes}


def test_enabled_false_in_the_file_is_advice_and_an_excluded_period_is_too():
    assert world(more="autoscaler: {enabled: false}\n").loop.mode is Mode.ADVICE
    at = world(more="autoscaler: {excluded: ['00:00-12:00', '12:00-00:00']}\n")
    at.run(5, 320)
    assert at.service.calls == []
    assert {outcome for _, outcome in at.outcomes} == {"advised"}


def test_a_paused_loop_decides_nothing_and_goes_on_when_it_is_told():
    at = world()
    at.run(5, 100)
    at.loop.mode = Mode.PAUSED
    assert at.run(10, 320) == []
    at.loop.mode = Mode.ACT
    at.run(5, 320)
    assert at.service.calls != []


def test_stale_telemetry_is_held_and_said_once():
    at = world()
    at.run(10, 100)
    at.silent = True
    told = at.run(12, 320)
    assert [one["kind"] for one in told if one["kind"] != "decision"] == ["fallback"]
    assert told[-1]["reason"].startswith("hold: the source's offsets are stale")
    assert at.service.calls == []


def test_stale_telemetry_may_bring_back_the_last_plan_that_was_safe():
    at = world(more="autoscaler: {fallback: last-safe, stale_after: 1 s}\n")
    at.run(30, 320)
    safe = at.service.running
    assert safe != (1, 1)
    asyncio.run(at.service.set("classify", {"replicas": 1, "cores": 1}))  # by somebody else
    at.silent = True
    told = at.run(8, 320)
    assert at.service.running == safe
    assert [one["stages"]["classify"]["outcome"] for one in told] == ["confirmed"]
    assert told[-1]["reason"].startswith("last-safe: ")


def test_a_change_that_fails_is_tried_again_and_after_three_times_left_alone_for_a_while():
    at = world()
    at.run(5, 100)
    at.service.refuses = True
    at.run(8, 320)
    failures = [outcome for _, outcome in at.outcomes]
    assert len(failures) == 3
    assert all(outcome.startswith("failed: PATCH") for outcome in failures)
    assert metric(at.loop, "sluice_autoscaler_actuation_failures_total{pipeline=digits,stage=classify}") == 3
    assert any(one["stages"]["classify"]["outcome"].startswith("withheld: the last growth failed") for one in at.decided)
    at.service.refuses = False
    at.skip(60, 320)
    at.run(3, 320)
    assert at.service.running != (1, 1)


def test_replicas_that_never_come_are_given_up():
    at = world(service=MemoryService(loads_s=None))
    at.run(5, 100)
    at.run(4, 500)  # beyond one replica, whatever its cores
    assert at.service.running[0] > 1
    at.skip(35, 500)
    at.run(2, 500)
    assert metric(at.loop, "sluice_autoscaler_changes_undone_total{pipeline=digits,stage=classify}") >= 1
    assert at.service.running[0] == 1


def test_a_growth_that_does_not_help_is_taken_back_and_not_repeated_at_once():
    at = world(helps=False)
    at.run(5, 100)
    told = at.run(50, 320)
    assert metric(at.loop, "sluice_autoscaler_changes_undone_total{pipeline=digits,stage=classify}") >= 1
    assert any(one["stages"]["classify"]["outcome"].startswith("withheld: the last growth") for one in told)


def test_cool_down_keeps_what_was_just_added():
    at = world(more="autoscaler: {cool_down: 40 s}\n")
    at.run(5, 60)
    at.run(5, 320)
    grown = at.service.running
    at.run(15, 60)
    assert at.service.running == grown
    at.skip(40, 60)
    at.run(20, 60)
    assert at.service.running == (1, 1)


def test_a_loop_started_anew_adopts_what_runs_and_remembers():
    before = world()
    before.run(25, 320)
    running = before.service.running
    values = [json.dumps(one).encode() for one in before.records]
    after = world(service=before.service)
    after.loop.restore([b"{", b'{"pipeline": "other"}', *values])
    assert after.loop.decider.memory == before.loop.decider.memory
    assert after.loop.arrivals.rates(before.now_s)[-20:] == pytest.approx(before.loop.arrivals.rates(before.now_s)[-20:], abs=0.01)
    after.now_s, after.events, after.sequence = before.now_s, before.events, before.sequence
    calls = len(before.service.calls)
    told = after.run(3, 320)
    assert len(before.service.calls) == calls
    assert before.service.running == running
    assert told[0]["sequence"] == before.records[-1]["sequence"] + 1


def test_without_records_the_first_decision_starts_from_what_runs():
    service = MemoryService(wanted={"cnn": {"replicas": 2, "batch": 8, "cores": 1, "share": 1.0}}, ready={"cnn": 2})
    at = world(service=service)
    told = at.run(5, 300)  # carried by 2 x 200
    assert told[-1]["inputs"]["stages"]["classify"]["pools"][0]["ready"] == 2
    assert service.calls == []


def test_history_decided_again_by_the_same_policy_is_the_same_and_by_another_is_not():
    at = world()
    at.run(8, 100)
    at.run(8, 320)
    at.run(20, 60)
    found = [recorded(one, problem()) for one in at.decided]
    again = list(replay(found, at.loop.decider.policy))
    assert len(again) == len(found) == 33
    assert [one.recorded.sequence for one in again if not one.is_same] == []
    assert [one.reason for one in again] == [one["reason"] for one in at.decided]
    others = list(replay(found, policy("themis", problem())))
    assert any(not one.is_same for one in others)


def test_a_rescale_waits_until_all_is_calm_is_aligned_with_the_partitions_and_its_stall_is_priced():
    job = MemoryJob(true_rate=100.0)
    at = world(job=job)
    at.run(15, 200)  # 200 / (0.7 * 100) = 3 subtasks, of 4 partitions rather 4
    assert job.asked == [{"classify": 4}]
    assert at.loop.decider.policy.times.stall_s == 3.5
    assert metric(at.loop, "sluice_autoscaler_rescale_stall_seconds{pipeline=digits}") == 3.5
    assert any(one["stages"]["classify"]["actions"] == {"parallelism": 4} for one in at.decided)


def test_a_rescale_without_slots_is_counted_and_said():
    job = MemoryJob(true_rate=100.0, most=2)
    at = world(job=job)
    at.run(12, 200)
    assert job.asked
    assert job.parallelism == 1
    assert any(one["stages"]["classify"]["outcome"].startswith("failed: asked for more than") for one in at.decided)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_runs_the_loop_and_keeps_to_the_file(name):
    at = world(name)
    for rate in (60, 250, 700, 60):
        at.run(4, rate)
        replicas, cores = at.service.running
        assert 1 <= replicas <= 4
        assert cores in (1, 2)
    assert {outcome.partition(":")[0] for _, outcome in at.outcomes} <= {"confirmed"}
    found = [recorded(one, problem()) for one in at.decided]
    assert {one.policy for one in found} == {name}


def test_which_policy_decides(tmp_path):
    file = tmp_path / "digits.yaml"
    file.write_text("")
    described = pipeline()
    assert choice(file, described, None, None).policy == "reactive"
    with pytest.raises(ValueError, match="no policy is called 'best'"):
        choice(file, described, "best", None)
    with pytest.raises(ValueError, match="sluice profile"):
        choice(file, described, "fa2", None)
    (tmp_path / "digits.profile.yaml").write_text(world_profile())
    assert choice(file, described, None, None).policy == "reactive"
    chosen = choice(file, described, None, tmp_path / "digits.profile.yaml")
    assert chosen.policy == "sluice"
    assert chosen.problem is not None
    assert chosen.problem.slo_ms == 488.0
    assert chosen.times.cold_start_s == 1.0
    assert built("sluice", chosen.problem, ChangeTimes(stall_s=9.0), 25.0).stabilization_s == 25.0
    assert choice(file, pipeline("autoscaler: {policy: themis}\n"), None, None).policy == "themis"
    assert choice(file, pipeline("autoscaler: {policy: themis}\n"), "reactive", None).problem is None
    (tmp_path / "digits.profile.yaml").write_text(world_profile().replace("profile: digits", "profile: other"))
    assert "the profile is of pipeline other" in (choice(file, described, None, tmp_path / "digits.profile.yaml").note or "")


def world_profile() -> str:
    from tests.autoscaler.world import PROFILE

    return PROFILE


def test_a_service_that_is_away_leaves_the_loop_waiting():
    at = world(service=MemoryService(away=True))
    at.silent = True
    told = at.run(3, 100)
    assert [one["reason"] for one in told] == ["hold: the source's offsets are not known yet"]
    with pytest.raises(ActuationError):
        asyncio.run(at.service.lanes("classify"))
