"""The pure parts of the control loop, one by one."""

import itertools
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.control.arrivals import Arrivals
from autoscaler.control.consumption import Consumption, Progress
from autoscaler.control.decider import Decided
from autoscaler.control.effects import BACK_OFF_S, SETTLE_S, Change, Effects, Pressure, grows, shrinks
from autoscaler.control.lanes import LaneOrder, nearest, order, pools, same, standing
from autoscaler.control.records import Circumstances, WrongDecision, parse, record, recorded, states
from autoscaler.control.restraint import STABLE_S, Patience, aligned, allowed
from autoscaler.control.steps import Turn, steps
from autoscaler.planner.model import Share
from autoscaler.policies.policy import Decision, Forecast, Pool, StageState, State, Target
from autoscaler.telemetry import Lane
from tests.autoscaler.world import problem

STAGE = problem().stage("classify")
SMALL, SMALL_8, LARGE, LARGE_8 = STAGE.options


def lane(batch=8, cores=1, replicas=1, ready=None, variant="cnn", share=1.0, state="serving"):
    return Lane(variant, "1", batch, cores, replicas, share, state, replicas if ready is None else ready)


# arrivals


def test_offsets_become_events_in_each_past_second():
    arrivals = Arrivals()
    for second, end in enumerate((50, 150, 350, 400)):
        arrivals.offsets(100.0 + second, {0: end, 1: 10})
    assert arrivals.rates(103.0) == (100.0, 200.0, 50.0)
    assert arrivals.rates(103.5) == (100.0, 200.0, 50.0)  # nothing is known of the last half
    assert arrivals.rates(102.5) == (150.0, 125.0)  # 350 + 25 - 250
    assert arrivals.whole_seconds(103.9) == (100.0, 200.0, 50.0)


def test_a_new_partition_a_topic_made_anew_and_a_ratio():
    arrivals = Arrivals()
    arrivals.offsets(0.0, {0: 1000})
    arrivals.offsets(1.0, {0: 1100, 1: 30})  # partition 1 is new
    arrivals.ratio = 0.5
    arrivals.offsets(2.0, {0: 1200, 1: 30})
    arrivals.ratio = 1.0
    arrivals.offsets(3.0, {0: 40, 1: 0})  # began anew
    arrivals.offsets(2.5, {0: 9000, 1: 0})  # came late
    arrivals.offsets(4.0, {0: 70, 1: 5})
    assert arrivals.rates(4.0) == (130.0, 50.0, 0.0, 35.0)


def test_what_came_while_nobody_looked_counts_where_the_offsets_are_remembered():
    arrivals = Arrivals()
    arrivals.add(10.0, 500.0)
    arrivals.resume({0: 700})
    arrivals.offsets(14.0, {0: 900})
    assert arrivals.rates(14.0) == (50.0, 50.0, 50.0, 50.0)


@given(st.lists(st.tuples(st.floats(0.05, 3.0), st.integers(0, 500)), min_size=2, max_size=60))
def test_no_event_is_lost_or_made_up_between_the_polls(polls):
    arrivals, at_s, total = Arrivals(), 0.0, 0
    for gap_s, events in polls:
        at_s, total = at_s + gap_s, total + events
        arrivals.offsets(at_s, {0: total})
    rates = arrivals.rates(at_s)
    assert all(rate >= -1e-6 for rate in rates)
    first = polls[0][1]
    assert sum(rates) <= total - first + 1e-6
    seconds = at_s - polls[0][0]
    assert len(rates) in (int(seconds), int(seconds + 1e-6))
    if abs(seconds - len(rates)) < 1e-9:
        assert sum(rates) == pytest.approx(total - first, abs=1e-6)


def test_records_for_an_offset_and_a_job_that_started_again():
    seen = Consumption()
    seen.observe(Progress(0.0, 1000, 2000, 5))
    assert (seen.ratio, seen.lag) == (1.0, 5)
    seen.observe(Progress(10.0, 1800, 3000, 7))  # 800 records of 1000 offsets: the rest are markers
    assert (seen.ratio, seen.lag) == (0.8, 7)
    seen.observe(Progress(20.0, 10, 3100))  # it counts anew
    seen.observe(Progress(30.0, 460, 3600))
    assert seen.ratio == 0.9


# lanes and orders


def test_shares_become_lanes_and_lanes_the_pools_they_stand_for():
    bridge = (Share(LARGE_8, 1, 0.6), Share(SMALL_8, 2, 0.4))  # one large one serves, two small ones start
    asked = order(STAGE, bridge)
    assert asked == (LaneOrder("cnn", 8, 2, 3, 1.0),)
    shown = pools(STAGE, [lane(cores=2, replicas=3, ready=2)], bridge, asked)
    assert shown == (Pool(LARGE_8, 1, 0, 0.6), Pool(SMALL_8, 1, 1, 0.4))
    assert pools(STAGE, [lane(cores=2, replicas=2, ready=2)], bridge, asked) == (Pool(LARGE_8, 2, 0, 1.0),)  # somebody else's


def test_a_loose_bound_is_the_largest_batch_in_time():
    assert order(STAGE, (Share(SMALL, 1),), 50.0) == (LaneOrder("cnn", 8, 1, 1),)
    assert order(STAGE, (Share(SMALL, 1),), 30.0) == (LaneOrder("cnn", 1, 1, 1),)  # a batch of 8 takes 40 ms
    assert order(STAGE, (Share(SMALL_8, 1),), 30.0) == (LaneOrder("cnn", 8, 1, 1),)  # the policy's own is kept


def test_lanes_that_leave_or_shadow_are_not_what_is_wanted():
    lanes = [lane(replicas=2, share=0.5), lane(variant="old", state="leaving"), lane(variant="new", state="shadow", share=0.5)]
    assert standing(lanes) == (LaneOrder("cnn", 8, 1, 2, 1.0),)
    assert [pool.replicas for pool in pools(STAGE, lanes)] == [2]


@pytest.mark.parametrize(("batch", "cores", "found"), [(8, 1, SMALL_8), (7, 1, SMALL), (64, 1, SMALL_8), (1, 2, LARGE), (8, 4, LARGE_8),
                                                      (8, 0.5, SMALL_8), (8, 1.5, SMALL_8)])
def test_the_nearest_option_of_a_lane(batch, cores, found):
    assert nearest(STAGE, lane(batch, cores)) == found
    assert nearest(STAGE, lane(variant="other")) is None


@given(st.sampled_from(STAGE.options), st.integers(1, 4), st.integers(0, 4))
def test_what_was_ordered_is_shown_as_it_was_wanted(option, replicas, ready):
    shares = (Share(option, replicas),)
    asked = order(STAGE, shares)
    lanes = [lane(asked[0].batch, asked[0].cores, replicas, min(ready, replicas))]
    assert same(standing(lanes), asked)
    assert pools(STAGE, lanes, shares, asked) == (Pool(option, min(ready, replicas), replicas - min(ready, replicas), 1.0),)


# steps


def test_in_place_comes_first_and_growth_before_anything_shrinks():
    has = {"a": (LaneOrder("v", 8, 2, 2),), "b": (LaneOrder("v", 8, 1, 1),), "c": (LaneOrder("v", 8, 1, 1),)}
    wanted = {"a": (LaneOrder("v", 8, 1, 1),), "b": (LaneOrder("v", 16, 2, 3),), "c": (LaneOrder("w", 8, 1, 1),)}
    found = steps(has, wanted)
    assert [(step.stage, step.turn, dict(step.body)) for step in found] == [
        ("b", Turn.GROW_IN_PLACE, {"batch": 16, "cores": 2}), ("b", Turn.GROW, {"replicas": 3}),
        ("c", Turn.GROW, {"variants": {"w": {"share": 1.0, "replicas": 1, "batch": 8, "cores": 1}}}),
        ("a", Turn.SHRINK_IN_PLACE, {"cores": 1}), ("a", Turn.SHRINK, {"replicas": 1})]
    assert [step.is_in_place for step in found] == [True, False, False, True, False]
    assert steps(has, has) == steps({}, wanted) == []


def test_shares_that_change_are_one_call():
    has = {"a": (LaneOrder("v", 8, 1, 1, 0.5), LaneOrder("w", 8, 1, 1, 0.5))}
    wanted = {"a": (LaneOrder("v", 8, 1, 2, 0.8), LaneOrder("w", 8, 1, 1, 0.2))}
    (step,) = steps(has, wanted)
    assert {name: (one["share"], one["replicas"]) for name, one in step.body["variants"].items()} == {"v": (0.8, 2), "w": (0.2, 1)}


# effects and restraint

PRESSED, EASED = Pressure(0.3, 400, 150.0), Pressure(0.0, 2, 300.0)


def grown(at_s=0.0, pressed=PRESSED):
    return Change(at_s, (LaneOrder("v", 8, 1, 1),), (LaneOrder("v", 8, 1, 2),), True, pressed)


def test_growth_that_helps_stays():
    effects = Effects(30.0)
    effects.began("a", grown())
    assert effects.judge("a", PRESSED, False, 1.0) is None
    assert effects.judge("a", PRESSED, True, 4.0) is None
    assert effects.took_s == {"a": 4.0}
    assert effects.judge("a", EASED, True, 4.0 + SETTLE_S) is None
    assert effects.held_until_s("a", 5.0) is None


def test_growth_that_does_not_help_is_undone_and_each_time_held_for_longer():
    effects = Effects(30.0)
    for length_s in (BACK_OFF_S, 2 * BACK_OFF_S, 4 * BACK_OFF_S):
        effects.began("a", grown())
        assert effects.judge("a", PRESSED, True, 0.0) is None
        undo = effects.judge("a", PRESSED, True, SETTLE_S)
        assert undo.order == (LaneOrder("v", 8, 1, 1),)
        assert undo.reason == "it did not help: 30.0% violations, 400 rows waiting, 150 answered a second before, 30.0% violations, 400 rows waiting, " \
                              "150 answered a second after"
        assert effects.held_until_s("a", SETTLE_S) == SETTLE_S + length_s
        assert effects.held_until_s("a", SETTLE_S + length_s) is None


def test_growth_ahead_of_the_load_is_not_judged():
    effects = Effects(30.0)
    effects.began("a", grown(pressed=EASED))
    effects.judge("a", EASED, True, 1.0)
    assert effects.judge("a", PRESSED, True, 1.0 + SETTLE_S) is None


def test_what_is_not_ready_in_time_is_undone():
    effects = Effects(30.0)
    effects.began("a", grown())
    assert effects.judge("a", EASED, False, 30.0) is None
    assert effects.judge("a", EASED, False, 31.0).reason == "not all replicas are ready after 31 s"
    assert effects.judge("a", EASED, False, 32.0) is None


def test_growth_upon_growth_goes_back_to_before_both():
    effects = Effects(30.0)
    effects.began("a", grown())
    effects.began("a", Change(2.0, (LaneOrder("v", 8, 1, 2),), (LaneOrder("v", 8, 1, 3),), True, EASED))
    effects.judge("a", PRESSED, True, 3.0)
    assert effects.judge("a", PRESSED, True, 3.0 + SETTLE_S).order == (LaneOrder("v", 8, 1, 1),)


def test_what_is_held_may_shrink_and_what_cools_down_may_grow():
    effects = Effects(30.0)
    effects.failed("a", 0.0)
    one, two = {"a": (LaneOrder("v", 8, 1, 1),)}, {"a": (LaneOrder("v", 8, 1, 2),)}
    assert grows(one["a"], two["a"])
    assert shrinks(two["a"], one["a"])
    assert allowed(one, two, effects, 0.0, 1.0).withheld == {"a": "the last growth failed or did not help; held for 59 s"}
    assert allowed(two, one, effects, 0.0, 1.0).orders == one
    cooling = Effects(30.0)
    cooling.began("a", grown(at_s=10.0))
    assert allowed(two, one, cooling, 20.0, 15.0).withheld == {"a": "cooling down for 15 s"}
    assert allowed(one, two, cooling, 20.0, 15.0).orders == two
    assert allowed(two, one, cooling, 20.0, 30.0).orders == one


@given(st.integers(1, 200), st.integers(1, 64))
def test_parallelism_keeps_to_the_partitions_and_leaves_least_idle(wanted, partitions):
    found = aligned(wanted, partitions)
    assert found <= partitions
    assert found >= min(wanted, partitions)
    def idle(count):
        return ceil(partitions / count) * count - partitions
    assert all(idle(found) <= idle(other) for other in range(min(wanted, partitions), min(partitions, max(wanted, int(wanted * 1.5))) + 1))


def test_parallelism_of_twelve_partitions():
    assert [aligned(wanted, 12) for wanted in (1, 2, 3, 4, 5, 7, 9, 11, 12, 40)] == [1, 2, 3, 4, 6, 7, 12, 12, 12, 12]


def test_a_rescale_waits_until_it_was_asked_for_long_enough():
    patience = Patience()
    assert patience.due({"a": 2}, {"a": True}, 0.0) == {}
    assert patience.due({"a": 2}, {"a": False}, STABLE_S) == {}
    assert patience.due({"a": 3}, {"a": True}, STABLE_S) == {"a": 3}
    assert patience.due({}, {"a": True}, 6.0) == {}
    assert patience.due({"a": 2}, {"a": True}, 7.0) == {}


# records


@st.composite
def decisions(draw):
    quantiles = dict.fromkeys((0.5, 0.95), 0.0) | {0.95: draw(st.floats(0, 1e6))}
    made = tuple(Pool(draw(st.sampled_from(STAGE.options)), draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.floats(0, 1)))
                 for _ in range(draw(st.integers(1, 3))))
    stage = StageState(made, draw(st.integers(1, 9)), draw(st.floats(0, 1e6)), draw(st.none() | st.floats(0, 1e6)), draw(st.integers(0, 10**9)),
                       draw(st.integers(0, 10**9)), draw(st.floats(0, 1)), draw(st.none() | st.floats(0, 1)), draw(st.floats(0, 1)))
    target = Target((Share(draw(st.sampled_from(STAGE.options)), draw(st.integers(1, 4))),), draw(st.none() | st.integers(1, 8)))
    state = State(draw(st.integers(0, 10**12)) / 1000, (), {"classify": stage}, tuple(draw(st.lists(st.floats(0, 1e4), max_size=3))))
    return Decided(state, Forecast(10.0, quantiles, draw(st.none() | st.floats(0, 1))), Decision({"classify": target}, None, draw(st.text(max_size=20))))


@settings(max_examples=50)
@given(decisions())
def test_a_record_reads_back_as_what_was_seen_and_decided(decided):
    import json

    around = Circumstances("digits", "sluice", "act", 7, [(1.0, 5.0), (2.0, 9.5)], {0: 12}, stall_s=3.5)
    found = recorded(parse(json.dumps(record(decided, around, {}))), problem())
    assert found.state == decided.state
    assert found.forecast == decided.forecast
    assert dict(found.targets) == dict(decided.decision.targets)
    assert (found.sequence, found.arrivals, found.ends, found.stall_s) == (7, ((1.0, 5.0), (2.0, 9.5)), {0: 12}, 3.5)


def test_rates_come_back_from_the_arrivals_of_all_records():
    def one(number, points):
        decided = Decided(State(float(number), (), {"classify": StageState((Pool(SMALL, 1),))}), Forecast(0.0, {}), Decision({}, None, ""))
        return recorded(record(decided, Circumstances("digits", "p", "act", number, points), {}), problem())

    found = list(states([one(2, [(0.0, 0.0), (1.0, 10.0), (2.0, 30.0)]), one(4, [(3.0, 60.0), (4.0, 100.0)]), one(6, [(5.0, 7.0), (6.0, 8.0)])]))
    assert [each.state.rates for each in found] == [(10.0, 20.0), (10.0, 20.0, 30.0, 40.0), (1.0,)]  # the last counts anew


@pytest.mark.parametrize(("value", "why"), [(b"{", "no JSON"), (b"[]", "a list"), (b'{"version": 2}', "version 2"), (None, "no JSON")])
def test_what_is_no_record_is_refused(value, why):
    with pytest.raises(WrongDecision, match=why):
        parse(value)


def test_a_record_of_another_profile_is_refused():
    decided = Decided(State(1.0, (), {"classify": StageState((Pool(SMALL, 1),))}), Forecast(0.0, {}), Decision({}, None, ""))
    made = record(decided, Circumstances("digits", "p", "act", 1), {})
    for broken, why in (({**made, "inputs": {}}, "lacks a field"), ({**made, "forecast": None}, "lacks a field")):
        with pytest.raises(WrongDecision, match=why):
            recorded(broken, problem())
    made["inputs"]["stages"]["classify"]["pools"][0]["batch"] = 3
    with pytest.raises(WrongDecision, match="no option"):
        recorded(made, problem())


def test_orders_compare_without_regard_to_their_order():
    lanes = [LaneOrder("v", 8, 1, 1, 0.5), LaneOrder("w", 8, 1, 1, 0.5), LaneOrder("x", 8, 1, 1, 0.0)]
    assert all(same(tuple(lanes), each) for each in itertools.permutations(lanes))
    assert not same(tuple(lanes), tuple(lanes[:2]))
