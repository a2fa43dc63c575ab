from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.graph.pipeline import OnLate
from operators.actions import Cause, Status
from operators.batching import FixedRule
from operators.operator import Variant
from tests.operators.builders import FIRST, SECOND, SimulatedLanes, lane

NEW = replace(FIRST, version="2")


def shares(stage, rows=100):
    """Rows by variant and version of so many."""
    stage.arrive("probe", rows)
    found = {}
    for one in stage.stage.lanes:
        count = one.stage.queued + one.stage.in_flight
        if count:
            found[one.variant.name, one.variant.version] = count
    stage.settle()
    return found


def test_rows_are_shared_out():
    stage = SimulatedLanes(lane(FIRST, 0.25), lane(SECOND, 0.75))
    assert shares(stage) == {("first", "1"): 25, ("second", "1"): 75}


def test_a_request_of_several_lanes_is_answered_once_per_row():
    stage = SimulatedLanes(lane(FIRST, 0.5), lane(SECOND, 0.5))
    stage.arrive("a", 30)
    stage.settle()
    assert stage.answers == {("a", row): Status.OK for row in range(30)}
    assert not stage.repeated


def test_a_new_version_takes_all_rows_at_once_when_all_its_replicas_are_ready():
    stage = SimulatedLanes(lane(FIRST, replicas=2))
    stage.become(lane(NEW, replicas=2))
    first, second = sorted(stage.loading)
    stage.load(first)
    stage.arrive("old", 20)
    assert stage.rows_at(FIRST) == 20
    assert not stage.stage.settled
    stage.load(second)
    stage.arrive("new", 20)
    assert {stage.stage.lane_of(number).variant.version for number, batch in stage.running.items() if "new" in {run.request for run in batch.runs}} == {"2"}
    stage.settle()
    assert stage.stage.settled
    assert [one.variant.version for one in stage.stage.lanes] == ["2"]
    assert len(stage.stopped) == 2


def test_waiting_rows_go_over_to_the_new_version_and_running_ones_stay():
    stage = SimulatedLanes(lane(FIRST, batch=4))
    stage.become(lane(NEW, batch=4))
    stage.arrive("a", 10)
    (running,) = stage.running
    assert len(stage.rows_of(running)) == 4
    stage.load_all()
    assert sorted(map(len, map(stage.rows_of, stage.running))) == [4, 4]  # what waited, with the new one now
    stage.finish(running)
    assert running in stage.stopped
    stage.settle()
    assert sorted(stage.answers) == [("a", row) for row in range(10)]
    assert not stage.repeated


def test_the_old_version_serves_on_while_the_new_one_cannot_be_loaded():
    stage = SimulatedLanes(lane(FIRST))
    stage.become(lane(NEW))
    for number in range(3):
        stage.die(min(stage.loading))
        stage.arrive(number, 2)
        stage.finish(0)
        assert stage.answers[number, 1] == Status.OK
    assert stage.stage.lane_of(0).variant.version == "1"
    assert not stage.stage.settled


def test_going_back_while_it_loads_starts_nothing():
    stage = SimulatedLanes(lane(FIRST))
    stage.become(lane(NEW))
    started = stage.started
    stage.become(lane(FIRST))
    assert (stage.started, stage.loading, stage.stage.settled) == (started, {}, True)
    assert shares(stage, 5) == {("first", "1"): 5}


def test_a_canary_takes_its_share_once_it_is_ready():
    stage = SimulatedLanes(lane(FIRST))
    stage.become(lane(FIRST, 0.9), lane(NEW, 0.1))
    stage.arrive("before", 10)
    assert all(stage.stage.lane_of(number).variant.version == "1" for number in stage.running)
    stage.settle()
    assert shares(stage) == {("first", "1"): 90, ("first", "2"): 10}


def test_a_shadow_takes_copies_only():
    stage = SimulatedLanes(lane(FIRST), lane(NEW, 0.0, shadow=True))
    assert shares(stage, 50) == {("first", "1"): 50}
    actions = stage.stage.shadow("copy", np.full(5, 10.0), stage.now)
    stage.apply(actions)
    (copied,) = stage.running
    assert stage.stage.lane_of(copied).variant.version == "2"
    stage.settle()
    assert ("copy", 4) in stage.answers
    assert stage.stage.shadow("much", np.full(100, 10.0), stage.now) is None
    assert (stage.stage.shadowed, stage.stage.unshadowed) == (5, 100)


def test_a_lane_that_lost_its_replica_hands_its_rows_over():
    stage = SimulatedLanes(lane(FIRST, 0.5, batch=1), lane(SECOND, 0.5, batch=1))
    stage.arrive("a", 10)
    (of_first,) = stage.replicas_of(FIRST)
    stage.die(of_first, cause=Cause.KILLED)
    assert stage.rows_at(FIRST) == 1  # that it died of
    assert stage.rows_at(SECOND) == 9
    stage.settle()
    assert len(stage.answers) == 10
    assert shares(stage) == {("first", "1"): 50, ("second", "1"): 50}


def test_rows_of_a_leaving_lane_that_a_replica_died_of_keep_it_until_they_are_answered():
    stage = SimulatedLanes(lane(FIRST, batch=2))
    stage.arrive("poison", 2)
    stage.become(lane(NEW, batch=2))
    stage.load_all()
    (old,) = stage.replicas_of(FIRST)[:1]
    stage.die(old)
    assert len(stage.stage.lanes) == 2
    stage.settle(poison={("poison", 0)})
    assert stage.answers == {("poison", 0): Status.FAILED, ("poison", 1): Status.OK}
    assert [one.variant.version for one in stage.stage.lanes] == ["2"]


def test_numbers_of_replicas_are_never_given_twice():
    stage = SimulatedLanes(lane(FIRST, 0.5, replicas=2), lane(SECOND, 0.5, replicas=2))
    stage.become(lane(NEW, replicas=2))
    stage.load_all()
    assert stage.started == 6
    assert stage.stopped == [0, 1, 2, 3]
    assert stage.idle == {4, 5}


def test_an_open_version_is_the_one_that_is_there():
    stage = SimulatedLanes(lane(Variant("first", 0.9, version="")), ready=False)
    stage.apply(stage.stage.replica_ready(0, 0.0, "7"))
    assert stage.stage.setting.variant.version == "7"
    stage.become(lane(Variant("first", 0.9, version=""), replicas=2))
    assert [one.variant.version for one in stage.stage.lanes] == ["7"]


def test_an_old_version_lingers_for_the_rows_that_met_it():
    pins = {request: np.array([b"first:1", b""]) for request in ("soon", "later", "too late")}
    stage = SimulatedLanes(lane(FIRST), pins=pins, linger_s=2.0)
    stage.become(lane(NEW))
    stage.load_all()
    for request, seconds in (("soon", 1.5), ("later", 1.5)):
        stage.tick(seconds)
        stage.arrive(request, 2)
        assert {stage.stage.lane_of(number).variant.version: stage.rows_of(number) for number in stage.running} == {"1": [(request, 0)], "2": [(request, 1)]}
        stage.settle()
    stage.tick(1.9)
    assert not stage.stage.settled
    stage.tick(0.2)
    assert stage.stage.settled
    stage.arrive("too late", 2)
    assert [stage.rows_of(number) for number in stage.running] == [[("too late", 0), ("too late", 1)]]


def test_rows_that_wait_stay_with_the_version_they_met_when_the_stage_changes_over():
    stage = SimulatedLanes(lane(FIRST, batch=1), pins={"a": np.array([b"first:1", b"", b"first:1"])}, linger_s=2.0)
    stage.arrive("a", 3)
    stage.become(lane(NEW, batch=1))
    stage.load_all()
    assert stage.rows_of(1) == [("a", 1)]
    stage.settle()
    assert len(stage.answers) == 3


def test_urgent_rows_go_to_the_fast_lane_before_they_expire():
    slow, fast = Variant("slow", 0.9), Variant("fast", 0.8)
    stage = SimulatedLanes(lane(slow, 1.0, batch=4), lane(fast, 0.0, batch=4), on_late=OnLate.DEAD_LETTER)
    of_slow, of_fast = stage.replicas_of(slow)[0], stage.replicas_of(fast)[0]
    for rows in (1, 4, 4, 4):
        stage.arrive(f"teach {rows}", rows)
        stage.finish(of_slow, seconds=0.1 * rows)
    stage.stage.find("fast", "1").stage.service_time.observe(1, 0.001)
    stage.arrive("running", 4)
    stage.arrive("urgent", 2, deadline_s=0.05)
    assert set(stage.running) == {of_slow, of_fast}
    stage.finish(of_fast)
    assert [stage.answers["urgent", row] for row in range(2)] == [Status.OK, Status.OK]
    assert stage.stage.mix.diverted == 2


def test_rows_that_wait_are_rescued_when_their_time_comes():
    slow, fast = Variant("slow", 0.9), Variant("fast", 0.8)
    stage = SimulatedLanes(lane(slow, 1.0, batch=1), lane(fast, 0.0, batch=1), on_late=OnLate.DEAD_LETTER)
    of_slow, of_fast = stage.replicas_of(slow)[0], stage.replicas_of(fast)[0]
    stage.stage.find("slow", "1").stage.service_time.observe(1, 0.1)
    stage.stage.find("fast", "1").stage.service_time.observe(1, 0.001)
    stage.arrive("running", 1)
    stage.arrive("waiting", 1, deadline_s=0.25)  # 0.1 s until the replica is free, 0.1 s there
    assert of_fast not in stage.running
    stage.tick(0.2)  # the first one takes longer than it should
    assert stage.rows_of(of_fast) == [("waiting", 0)]
    stage.finish(of_fast)
    stage.finish(of_slow)
    assert stage.answers["waiting", 0] == Status.OK


def test_what_drains_is_answered_in_every_lane():
    stage = SimulatedLanes(lane(FIRST, 0.5, batch=2), lane(SECOND, 0.5, batch=2), rule=FixedRule(2, 100.0))
    stage.arrive("a", 7)
    stage.apply(stage.stage.drain(stage.now))
    stage.settle()
    assert stage.stage.idle
    assert len(stage.answers) == 7


def test_an_unloaded_stage_keeps_its_rows_until_it_is_loaded():
    stage = SimulatedLanes(lane(FIRST))
    stage.become(lane(FIRST, replicas=0))
    stage.arrive("a", 3)
    assert (stage.stage.queued, stage.stage.ready) == (3, 0)
    stage.become(lane(NEW))
    stage.settle()
    assert len(stage.answers) == 3


VARIANTS = (FIRST, NEW, SECOND, replace(SECOND, version="2"))
LANE = st.tuples(st.sampled_from(VARIANTS), st.sampled_from([0.0, 0.1, 1.0]), st.integers(1, 2))
LANES = st.lists(LANE, min_size=1, max_size=3, unique_by=lambda one: one[0].name + one[0].version)
EVENTS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 20)),
    st.tuples(st.just("become"), LANES),
    st.tuples(st.just("load"), st.integers(0, 5)),
    st.tuples(st.just("finish"), st.integers(0, 5)),
    st.tuples(st.just("die"), st.integers(0, 5)),
    st.tuples(st.just("tick"), st.just(0)),
)


@settings(max_examples=80, deadline=None)
@given(LANES, st.lists(EVENTS, max_size=40))
def test_whatever_happens_every_row_is_answered_once(begun, events):
    stage = SimulatedLanes(*(lane(variant, share, batch=4, replicas=replicas) for variant, share, replicas in begun), ready=False)
    sent = []
    for number, (kind, value) in enumerate(events):
        places = {"load": sorted(stage.loading), "finish": sorted(stage.running), "die": sorted([*stage.loading, *stage.idle, *stage.running])}
        match kind:
            case "arrive":
                stage.arrive(number, value, deadline_s=0.01 * value)
                sent += [(number, row) for row in range(value)]
            case "become":
                stage.become(*(lane(variant, share, batch=4, replicas=replicas) for variant, share, replicas in value))
            case "load" if places["load"]:
                stage.load(places["load"][value % len(places["load"])])
            case "finish" if places["finish"]:
                stage.finish(places["finish"][value % len(places["finish"])])
            case "die" if places["die"]:
                stage.die(places["die"][value % len(places["die"])], cause=Cause.KILLED)
            case "tick":
                stage.tick(0.01)
    stage.settle()
    assert sorted(stage.answers) == sorted(sent)
    assert not stage.repeated
    assert stage.stage.settled
