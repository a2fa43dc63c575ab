"""What changes cost in the simulator: cold starts, resizes, switches of variant, stalls, failures, units that are not there."""

import numpy as np
import pytest

from autoscaler.planner.model import Share
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Target
from simulator.arrivals import Arrivals, Even
from simulator.network import Station, chain
from simulator.outcome import Outcome
from simulator.scenario import Control, Failure
from simulator.simulation import simulate
from simulator.truth import Truth
from tests.simulator.builders import AT_ONCE, Scripted, at, events_of, fixed, option, scenario

M, K = option("m"), option("k", accuracy=0.7)
EVEN = Arrivals(Even([50.0] * 10), 5.0)


def scripted(script, initial=None, **fields):
    fields.setdefault("arrivals", EVEN)
    fields.setdefault("changes", ChangeTimes(3.0, {"m": 0.5}, 0.05, None, 4.0))
    made = scenario({"a": initial or (Share(M, 1),)}, options={"a": (M, K)}, **fields)
    return simulate(made, Control(Scripted(script)))


def test_a_replica_serves_after_its_cold_start_and_load():
    run = scripted({2.0: {"a": (Share(M, 2),)}})
    assert [second.ready["a"] for second in run.records.seconds[:8]] == [1, 1, 1, 1, 1, 2, 2, 2]  # at 2 + 3 + 0.5 s
    assert [second.held["cpu"] for second in run.records.seconds[:4]] == pytest.approx([1, 1, 2, 2])  # held while it loads
    assert [(action.at_s, action.kind, action.amount) for action in run.records.actions] == [(2.0, "replicas", 1)]


def test_a_replica_that_goes_finishes_its_batch_and_frees_its_units():
    run = scripted({2.0: {"a": (Share(M, 1),)}}, initial=(Share(M, 3),))
    assert run.held_s["cpu"] == pytest.approx(3 * 2 + 1 * 8, abs=0.01)
    assert run.tally.outcomes[Outcome.IN_TIME] == 500


def test_a_resize_grows_at_once_in_units_and_later_in_speed():
    truth = Truth(lambda stage, option, rows: 10 / option.units)
    run = scripted({2.0: {"a": (Share(option("m", units=2.0), 1),)}}, truth=truth, arrivals=at(1.5, 2.01, 2.04, 2.2))
    events = events_of(run)
    assert (events.finish_s - events.sent_s) == pytest.approx([0.010, 0.010, 0.010, 0.005])
    assert run.records.seconds[2].held["cpu"] == pytest.approx(2.0)


def test_a_resize_shrinks_its_units_when_it_is_done():
    run = scripted({2.0: {"a": (Share(M, 1),)}}, initial=(Share(option("m", units=2.0), 1),))
    assert run.records.seconds[2].held["cpu"] == pytest.approx(2 * 0.05 + 1 * 0.95)


def test_the_last_of_two_resizes_counts():
    run = scripted({1.0: {"a": (Share(option("m", units=4.0), 1),)}, 2.0: {"a": (Share(option("m", units=2.0), 1),)}},
                   changes=ChangeTimes(3.0, {}, 1.5, None, 4.0))
    assert [second.held["cpu"] for second in run.records.seconds[:5]] == pytest.approx([1, 4, 4, 3, 2])  # 2 units from 3.5 s on


def test_a_batch_change_takes_no_time():
    larger = option("m", batch=8)
    run = scripted({2.0: {"a": (Share(larger, 1),)}}, truth=Truth(fixed(30.0)))
    assert run.records.actions[0].kind == "batch"
    events = events_of(run)
    waited = events.finish_s - events.sent_s
    assert waited[events.sent_s < 2].max() > 0.3  # 50/s at 33/s: the queue grows
    assert waited[(events.sent_s > 4) & (events.sent_s < 9.9)].max() < 0.1


def test_the_old_variant_serves_until_the_new_one_is_ready():
    run = scripted({2.0: {"a": (Share(K, 1),)}})
    events = events_of(run)
    answered_by = np.array(["m", "k"])[events.variants[:, 0]]
    assert set(answered_by[events.finish_s < 5.0]) == {"m"}
    assert set(answered_by[events.finish_s > 5.02]) == {"k"}
    assert run.tally.outcomes[Outcome.IN_TIME] == 500
    assert run.held_s["cpu"] == pytest.approx(10 + 3, abs=0.05)  # both while it loads


def test_a_variant_taken_up_in_place_needs_no_second_replica_but_serves_nothing_meanwhile():
    run = scripted({2.0: {"a": (Share(K, 1),)}}, changes=ChangeTimes(3.0, {"k": 9.0}, 0.05, 0.5, 4.0), devices={"cpu": 1.0})
    events = events_of(run)
    answered_by = np.array(["m", "k"])[events.variants[:, 0]]
    assert set(answered_by[events.finish_s < 2.02]) == {"m"}
    assert set(answered_by[events.finish_s >= 2.5]) == {"k"}
    assert not ((events.finish_s > 2.02) & (events.finish_s < 2.5)).any()
    assert run.held_s["cpu"] == pytest.approx(10, abs=0.02)


def test_shares_split_the_rows_and_one_leaves_when_the_other_takes_all():
    run = scripted({5.0: {"a": (Share(M, 1),)}}, initial=(Share(M, 1, 0.25), Share(K, 1, 0.75)))
    events = events_of(run)
    before, after = events.variants[events.finish_s < 5.0, 0], events.variants[events.sent_s > 5.1, 0]
    assert np.bincount(before, minlength=2) == pytest.approx([62, 187], abs=2)
    assert set(after) == {0}
    assert run.tally.outcomes[Outcome.IN_TIME] == 500


def test_new_pools_get_rows_only_when_they_are_ready():
    run = scripted({2.0: {"a": (Share(M, 1, 0.5), Share(K, 1, 0.5))}})
    events = events_of(run)
    assert set(events.variants[events.finish_s < 5.0, 0]) == {0}
    assert np.bincount(events.variants[events.sent_s > 5.1, 0]) == pytest.approx([122, 122], abs=2)


def test_rescaling_the_job_stops_everything_for_the_stall():
    run = scripted({2.0: {"a": Target((Share(M, 1),), parallelism=2)}})
    events = events_of(run)
    during = (events.sent_s > 2.0) & (events.sent_s < 6.0)
    assert (events.finish_s[during] >= 6.0).all()
    assert events.finish_s[during].max() < 6.1 + 200 * 0.005  # worked off afterwards
    assert run.tally.outcomes[Outcome.IN_TIME] == 500


def test_a_replica_that_dies_is_replaced_and_its_rows_run_again():
    run = scripted({}, failures=(Failure(2.001, "a"),), arrivals=at(1.0, 2.0, 2.5, 7.0, slo_s=10.0), truth=Truth(fixed(5.0)))
    events = events_of(run)
    assert events.finish_s == pytest.approx([1.005, 5.511, 5.506, 7.005])  # ready again at 2.001 + 3.5; whose replica died runs behind who waits
    assert [action.kind for action in run.records.actions] == ["failure"]


def test_replicas_wait_for_units_that_are_not_there():
    run = scripted({1.0: {"a": (Share(M, 4),)}, 6.0: {"a": (Share(M, 1),)}}, devices={"cpu": 2.0})
    assert max(second.held["cpu"] for second in run.records.seconds) == pytest.approx(2.0)
    assert [second.ready["a"] for second in run.records.seconds] == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1]


def test_what_shares_a_gpu_is_slowed_by_the_factor_of_the_pair():
    gpu = (option("m", device="gpu"), option("k", device="gpu"))
    truth = Truth(fixed(10.0), factors={("m", "k"): 1.5})
    shares = (Share(gpu[0], 1, 0.5), Share(gpu[1], 1, 0.5))
    alone, together = (simulate(scenario({"a": shares}, truth=truth, arrivals=at(0.1, 0.3, 0.5, 0.7), gpu_slots={"gpu": slots})) for slots in (1.0, 2.0))
    took = [np.round(events_of(run).finish_s - events_of(run).sent_s, 6).tolist() for run in (alone, together)]
    variant = events_of(together).variants[:, 0].tolist()
    assert took[0] == [0.01] * 4
    assert took[1] == [0.015 if one == 0 else 0.01 for one in variant]  # m suffers, k does not
    assert set(variant) == {0, 1}


def test_several_sizes_of_one_variant_run_side_by_side_until_they_are_made_one():
    large = option("m", units=4.0)
    both = (Share(large, 2, 0.8), Share(M, 1, 0.2))
    policy = Scripted({1.0: {"a": both}, 6.0: {"a": (Share(M, 3),)}})
    made = scenario({"a": (Share(large, 2),)}, options={"a": (M,)}, arrivals=EVEN, changes=ChangeTimes(3.0, {}, 0.05, None, 4.0))
    run = simulate(made, Control(policy))
    seen = [[(pool.option.units, pool.ready, pool.starting) for pool in state.stages["a"].pools] for state in policy.states]
    assert seen[1] == [(4.0, 2, 0), (1.0, 0, 1)]
    assert seen[4] == [(4.0, 2, 0), (1.0, 1, 0)]
    assert seen[6] == [(1.0, 3, 0)]
    assert [second.held["cpu"] for second in run.records.seconds] == pytest.approx([8, 9, 9, 9, 9, 9, 9 * 0.05 + 3 * 0.95, 3, 3, 3])
    assert run.tally.outcomes[Outcome.IN_TIME] == 500


def test_sizes_side_by_side_may_all_grow_instead():
    large = option("m", units=4.0)
    policy = Scripted({1.0: {"a": (Share(large, 2, 0.8), Share(M, 1, 0.2))}, 6.0: {"a": (Share(large, 3),)}})
    run = simulate(scenario({"a": (Share(large, 2),)}, options={"a": (M,)}, arrivals=EVEN), Control(policy))
    assert [second.held["cpu"] for second in run.records.seconds[5:8]] == pytest.approx([9, 12, 12])


def test_rows_over_the_drop_limit_are_given_up_when_a_batch_is_taken():
    made = scenario({"a": (Share(option(), 1),)}, chain(Station("a", drop_s=0.05)), arrivals=at(*[0.1] * 5), truth=Truth(fixed(30.0)), gathering=AT_ONCE)
    events = events_of(simulate(made))
    assert events.outcome.tolist() == [Outcome.IN_TIME, Outcome.IN_TIME, *[Outcome.EXPIRED] * 3]  # taken at 0, 30 and 60 ms of age
    assert events.finish_s.round(6).tolist() == [0.13, 0.16, 0.16, 0.16, 0.16]


def test_those_that_run_may_grow_while_smaller_ones_start_beside_them():
    large = option("m", units=4.0)
    policy = Scripted({1.0: {"a": (Share(large, 2, 0.8), Share(M, 1, 0.2))}})
    run = simulate(scenario({"a": (Share(option("m", units=2.0), 2),)}, options={"a": (M,)}, arrivals=EVEN), Control(policy))
    assert [second.held["cpu"] for second in run.records.seconds[:3]] == pytest.approx([4, 9, 9])
    assert [(pool.option.units, pool.ready) for pool in policy.states[-1].stages["a"].pools] == [(4.0, 2), (1.0, 1)]
