"""What was held and done."""

import pytest

from autoscaler.planner.model import StageModel
from bench.live.account import Held, capacity, done, held, units
from tests.bench.live.builders import setting

MODEL: StageModel = setting().planner.problem(1.0).stages[0]


def record(at_s=0.0, cores=0.25, spares=0, spares_loading=0, lanes=(), each=0.125):
    return {"at_ms": round(1000 * at_s), "processes": {"cores": cores, "spares": spares, "spares_loading": spares_loading, "parts": "quota"},
            "setting": {"cores": each}, "lanes": list(lanes)}


def lane(ready=1, cores=0.125, batch=4, share=1.0, state="serving", variant="ensemble"):
    return {"variant": variant, "version": "1", "batch": batch, "cores": cores, "replicas": ready, "share": share, "state": state, "ready": ready}


def test_replicas_that_load_and_spares_are_held_too():
    assert units(record(cores=0.375)) == 3
    assert units(record(cores=0.375, spares=1, spares_loading=1, each=0.25)) == 7  # 3 + 2 * 2


def test_unit_seconds_are_the_integral_between_the_records():
    found = held([record(12.0, 0.5), record(10.0, 0.25), {"at_ms": 5000}], MODEL)  # any order; one of a service that is not up yet
    assert found.at_s == (10.0, 12.0)
    assert found.units == (2.0, 4.0)
    assert found.unit_s(10.0, 12.0) == 6.0
    assert found.unit_s(8.0, 13.0) == 2 * 2 + 6 + 4  # as before the first and after the last
    assert found.unit_s(10.5, 11.0) == pytest.approx(0.5 * 2.75)  # from 2.5 to 3 units
    assert found.by_second(found.units, 10.0, 2) == [2.5, 3.5]
    with pytest.raises(ValueError, match="no telemetry"):
        held([], MODEL).unit_s(0.0, 1.0)


def test_capacity_is_that_of_ready_replicas_which_take_rows():
    each = 4 * 1000 / (5 / 0.125)  # rows of a batch of 4 by the profile's formula
    assert capacity(record(lanes=[lane(ready=3)]), MODEL) == pytest.approx(3 * each)
    assert capacity(record(lanes=[lane(cores=0.25, batch=1)]), MODEL) == pytest.approx(1000 / (2 / 0.25))
    assert capacity(record(lanes=[lane(), lane(state="loading"), lane(share=0.0), lane(variant="unknown")]), MODEL) == pytest.approx(each)


def decision(at_s, actions=None, outcome="confirmed", kind="decision", stall_s=None):
    return {"kind": kind, "at_ms": round(1000 * at_s), "stages": {"classify": {"actions": actions or {}, "outcome": outcome if actions else "none"}},
            "stall_s": stall_s}


def test_decisions_changes_and_stalls_are_counted_in_the_counted_time():
    records = [decision(9.9, {"cores": 1}), decision(10.0), decision(11.0, {"cores": 0.5, "batch": 4}), decision(12.0, {"window": 64}),
               decision(13.0, {"replicas": 3}, "failed: away"), decision(14.0, {"parallelism": 2}, stall_s=3.5), decision(14.5, kind="fallback"),
               decision(20.0, {"replicas": 1})]
    found = done(records, 10.0, 20.0)
    assert (found.decisions, found.changes, found.stalls, found.stall_s, found.fallbacks) == (5, 1, 1, 3.5, 1)


def test_what_is_held_is_a_value():
    assert Held((1.0,), (2.0,), (3.0,)).unit_s(0.0, 4.0) == 8.0
