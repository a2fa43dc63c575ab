from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.evidence import MIN_ROWS, Served, all_of
from operators.rollout import Load, Observation, Phase, Promote, Return, Rollout, RolloutPlan, ToCanary, ToShadow
from operators.telemetry import RATIO

LOADED = Observation(loaded=True)
WELL = Observation(loaded=True, new=Served(rows=1000), old=Served(rows=10_000), copies=Served(rows=1000), compared=900, agreed=900)


def begun(**plan):
    rollout = Rollout(RolloutPlan(**plan), RATIO)
    assert rollout.begin() == [Load()]
    return rollout


def test_a_plain_one_promotes_at_once_and_is_done_when_the_old_version_has_stopped():
    rollout = begun()
    assert rollout.observe(Observation(), 1.0) == []
    assert rollout.observe(LOADED, 2.0) == [Promote()]
    assert rollout.observe(LOADED, 2.5) == []
    assert rollout.phase is Phase.PROMOTING
    assert rollout.observe(replace(LOADED, settled=True), 3.0) == []
    assert rollout.phase is Phase.DONE


def test_a_canary_lasts_its_time_and_its_rows():
    rollout = begun(canary=0.05, for_s=60, for_rows=500)
    assert rollout.phase is Phase.LOADING
    assert rollout.observe(Observation(), 5.0) == []
    assert rollout.observe(LOADED, 10.0) == [ToCanary(0.05)]
    assert rollout.phase is Phase.CANARY
    assert rollout.observe(WELL, 69.9) == []  # 10 + 60
    assert rollout.observe(replace(WELL, new=Served(rows=499)), 80.0) == []
    assert rollout.left(replace(WELL, new=Served(rows=499)), 80.0) == (0.0, 1)
    assert rollout.observe(WELL, 81.0) == [Promote()]


def test_without_the_least_sample_a_canary_goes_on():
    rollout = begun(canary=0.05, for_s=1)
    rollout.observe(LOADED, 0.0)
    assert rollout.observe(replace(WELL, new=Served(rows=MIN_ROWS - 1)), 1e6) == []
    assert rollout.observe(replace(WELL, new=Served(rows=MIN_ROWS)), 1e6) == [Promote()]


def test_a_shadow_comes_before_the_canary():
    rollout = begun(shadow=0.5, canary=0.1)
    assert rollout.observe(LOADED, 0.0) == [ToShadow(0.5)]
    assert rollout.phase is Phase.SHADOW
    assert rollout.observe(WELL, 1.0) == [ToCanary(0.1)]
    assert rollout.phase is Phase.CANARY
    more = replace(WELL, new=Served(rows=2000), old=Served(rows=20_000))
    assert rollout.observe(more, 2.0) == [Promote()]


def test_rows_before_the_canary_do_not_count_for_it():
    rollout = begun(canary=0.1)
    rollout.observe(WELL, 0.0)
    assert rollout.observe(WELL, 1.0) == []


@pytest.mark.parametrize(
    ("plan", "seen", "reason"),
    [
        ({}, Observation(problem="no such file"), "it cannot be loaded: no such file"),
        ({"canary": 0.1}, Observation(problem="no such file"), "it cannot be loaded: no such file"),
        ({"canary": 0.1}, replace(WELL, deaths=2), "its replicas died 2 times oftener"),
        ({}, Observation(loaded=True, states="it does not read them"), "it does not read them"),
        ({"canary": 0.1}, replace(WELL, states="the old one does not read its"), "the old one does not read its"),
        ({"canary": 0.1}, replace(WELL, new=Served(rows=200, failed=100)), "errors: 100 of 200 rows failed, 0 of 10000"),
        ({"shadow": 0.1}, replace(WELL, copies=Served(rows=200, failed=100)), "errors: 100 of 200"),
        ({"shadow": 0.1, "agreement": 0.9}, replace(WELL, agreed=500), "500 of 900 compared answers agree with the old version's; wanted are 90%"),
    ],
)
def test_it_is_rolled_back(plan, seen, reason):
    rollout = begun(**plan)
    rollout.observe(Observation(loaded=seen.loaded), 0.0)
    assert rollout.observe(seen, 1.0) == [Return()]
    assert rollout.phase is Phase.ROLLED_BACK
    assert reason in rollout.reason
    assert rollout.observe(WELL, 2.0) == []


def test_answers_that_differ_are_no_reason_unless_asked_for():
    rollout = begun(shadow=0.1)
    rollout.observe(LOADED, 0.0)
    assert rollout.observe(replace(WELL, agreed=0), 1.0) == [Promote()]


def test_people_may_end_it():
    rollout = begun(canary=0.1)
    assert rollout.abort("asked for") == [Return()]
    assert rollout.abort("again") == []
    assert rollout.reason == "asked for"


def test_what_the_old_version_cannot_take_back_is_kept():
    rollout = begun()
    final = replace(LOADED, final=True)
    assert not rollout.is_final(final)
    assert rollout.observe(final, 0.0) == [Promote()]
    assert rollout.is_final(final)
    assert not rollout.is_final(LOADED)
    assert rollout.observe(replace(final, deaths=2), 1.0) == []
    assert (rollout.phase, rollout.reason) == (Phase.DONE, "its replicas died 2 times oftener than the old version's")


@pytest.mark.parametrize("plan", [{"canary": 1.0}, {"canary": -0.1}, {"shadow": 1.1}, {"for_s": -1.0}, {"agreement": 0.5}, {"shadow": 0.1, "agreement": 1.5}])
def test_a_plan_that_makes_no_sense_is_refused(plan):
    with pytest.raises(ValueError, match=r"use|goes with"):
        RolloutPlan(**plan)


SERVED = st.integers(0, 3000).flatmap(lambda rows: st.builds(Served, rows=st.just(rows), failed=st.integers(0, min(rows, 50))))
SEEN = st.builds(
    Observation,
    loaded=st.booleans(),
    settled=st.booleans(),
    problem=st.sampled_from([None] * 8 + ["broken"]),
    states=st.sampled_from([None] * 8 + ["not read"]),
    final=st.booleans(),
    deaths=st.integers(-1, 3),
    new=SERVED,
    old=SERVED,
    copies=SERVED,
    compared=st.integers(0, 1000),
    agreed=st.integers(0, 1000),
)
PLANS = st.builds(RolloutPlan, canary=st.sampled_from([0.0, 0.1]), shadow=st.sampled_from([0.0, 0.3]), for_s=st.sampled_from([0.0, 3.0]))


def both(before, since):
    """What was seen in all: counters only grow."""
    counts = {name: getattr(before, name) + getattr(since, name) for name in ("compared", "agreed")}
    served = {name: all_of([getattr(before, name), getattr(since, name)]) for name in ("new", "old", "copies")}
    return replace(since, **counts, **served)


@settings(deadline=None)
@given(PLANS, st.lists(SEEN, max_size=30))
def test_it_only_goes_forward_and_ends_once(plan, seen):
    rollout = Rollout(plan, RATIO)
    order = [Phase.LOADING, Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.DONE]
    steps, phases = rollout.begin(), [rollout.phase]
    for number, one in enumerate(accumulate(seen, both)):
        found = rollout.observe(one, float(number))
        assert not (found and phases[-1] in (Phase.DONE, Phase.ROLLED_BACK))
        steps += found
        phases.append(rollout.phase)
    assert sum(isinstance(step, Promote) for step in steps) <= 1
    assert sum(isinstance(step, Return) for step in steps) == (phases[-1] is Phase.ROLLED_BACK)
    ranks = [order.index(phase) for phase in phases if phase in order]
    assert ranks == sorted(ranks)
    if not plan.shadow:
        assert Phase.SHADOW not in phases
    if not plan.canary:
        assert Phase.CANARY not in phases
