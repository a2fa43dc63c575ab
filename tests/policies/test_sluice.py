"""The product's own policy: up at once, down later, in place first, never beyond what there is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Plan, Share
from autoscaler.planner.objectives import LeastCost, MostAccurate, Weighted
from autoscaler.planner.standing import stand
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.need import expected
from autoscaler.policies.policy import Forecast, Levers, Pool, StageState, State
from autoscaler.policies.sluice import Knowledge, Sluice
from tests.policies.ladder import OPTIONS, after, cores, follow, ladder, option, replicas, runs, seen, steady

NO_FORECAST = Forecast(10.0, {})
CERTAIN = Knowledge(uncertainty=False)
ACCURATE_ENOUGH = LeastCost(0.95)

rates = st.floats(1.0, 600.0)
assignments = st.builds(lambda at, replicas: {"s0": (Share(at, replicas),)}, st.sampled_from(OPTIONS), st.integers(1, 8)).filter(
    lambda running: cores(running) <= 8)


def decided(problem, state, **fields):
    return Sluice(problem, **fields).decide(state, NO_FORECAST)


def test_it_answers_a_jump_in_the_same_second():
    problem = ladder(objective=LeastCost())
    before, jump = follow(Sluice(problem), runs(problem), [20.0] * 20 + [900.0])[-2:]
    assert stand(replace(problem, rate=20.0), before).serves
    assert sum(share.replicas * share.option.throughput for share in before["s0"]) < 900
    assert sum(share.replicas * share.option.throughput for share in jump["s0"]) > 900


def test_nothing_is_taken_away_before_the_load_was_lower_for_the_whole_interval():
    problem = ladder(objective=LeastCost())
    runs_at = follow(Sluice(problem, stabilization_s=10.0), runs(problem), [900.0] * 5 + [20.0] * 20)
    busy = replicas(runs_at[4])
    assert busy > 1
    assert min(replicas(running) for running in runs_at[5:14]) == busy
    assert replicas(runs_at[-1]) < busy


def test_the_last_high_second_starts_the_interval_anew():
    problem = ladder(objective=LeastCost())
    runs_at = follow(Sluice(problem), runs(problem), [900.0] * 5 + [20.0] * 8 + [900.0] + [20.0] * 9)
    assert min(replicas(running) for running in runs_at[4:]) == replicas(runs_at[4]) > 1


@settings(deadline=None, max_examples=40)
@given(running=assignments, rate=rates, queue=st.integers(0, 2000), spent=st.lists(st.floats(0, 300), max_size=5), starting=st.integers(0, 8),
       coming=rates)
def test_capacity_is_never_broken_and_nothing_goes_below_one_replica(running, rate, queue, spent, starting, coming):
    problem = ladder()
    state = seen(running, rate, starting=min(starting, replicas(running)), queue=queue, spent_ms=tuple(spent))
    decision = Sluice(problem).decide(state, steady(coming))
    wanted = after(running, decision)
    assert cores(wanted) <= 8
    assert replicas(wanted) >= 1
    assert sum(share.share for share in wanted["s0"]) == pytest.approx(1.0)
    assert set(decision.targets) <= {"s0"}
    assert decision.reason


@settings(deadline=None, max_examples=30)
@given(running=assignments, rate=rates)
def test_it_serves_whenever_a_plan_does_once_its_replicas_are_ready(running, rate):
    here = replace(ladder(), rate=rate)
    last = follow(Sluice(ladder(), knowledge=CERTAIN), running, [rate] * 4)[-1]
    assert stand(here, last).serves == isinstance(plan(here), Plan)


@settings(deadline=None, max_examples=10)
@given(running=assignments, rate=rates)
def test_under_a_steady_load_it_comes_to_rest(running, rate):
    problem = ladder(objective=ACCURATE_ENOUGH)
    last = follow(Sluice(problem), running, [rate] * 64)  # the rate is known best after 48 s, and 10 more are held
    assert last[-1] == last[-2] == last[-3]


@settings(deadline=None, max_examples=25)
@given(running=assignments, rate=rates, switched=st.sampled_from(["variants", "batch", "vertical", "horizontal"]))
def test_a_lever_it_does_not_have_stays_as_it_runs(running, rate, switched):
    levers = replace(Levers(), **{switched: False})
    was, now = running["s0"], after(running, decided(ladder(), seen(running, rate), levers=levers))["s0"]
    kept = {"variants": lambda share: share.option.variant, "batch": lambda share: share.option.batch,
            "vertical": lambda share: share.option.units, "horizontal": lambda share: share.replicas}[switched]
    assert {kept(share) for share in now} == {kept(share) for share in was}


def test_pressed_events_get_a_plan_for_what_they_have_left():
    problem = ladder(objective=LeastCost())
    state = seen(runs(problem), 50.0, spent_ms=(10.0, 90.0, 90.0))
    assert decided(problem, state).plan.latency_ms <= 10.0
    assert decided(problem, state, knowledge=Knowledge(deadlines=False)).plan.latency_ms > 10.0


def test_even_arrivals_need_less_than_those_at_random_of_the_same_rate():
    problem = ladder(objective=LeastCost(), slo_ms=30)
    running = runs(problem)
    even, random = seen(running, 200.0, dispersion=0.02), seen(running, 200.0)
    ways = [decided(problem, state) for state in (even, random)]
    needed, usual = (cores(after(running, way)) for way in ways)
    assert needed < usual
    assert "even events" in ways[0].reason
    assert "even events" not in ways[1].reason
    assert cores(after(running, decided(problem, even, knowledge=CERTAIN))) == usual


def test_a_backlog_is_drained_and_then_let_go():
    problem = ladder(objective=LeastCost())
    running = runs(problem, replicas=1)
    calm, full = (decided(problem, seen(running, 100.0, queue=queue)) for queue in (0, 4000))
    assert cores(after(running, full)) > cores(after(running, calm))
    assert stand(replace(problem, rate=100.0 + (4000 - 5) / 10), after(running, full)).serves  # 5 rows are a queue in order; 10 s to catch up


def test_the_forecast_counts_at_the_quantile_that_the_prices_ask_for():
    problem, running = ladder(objective=LeastCost()), runs(ladder())
    coming = Forecast(10.0, {0.5: 50.0, 0.95: 600.0})
    ways = [Sluice(problem), Sluice(problem, knowledge=CERTAIN), Sluice(problem, knowledge=Knowledge(forecast=False)), Sluice(problem, shortage=1.0)]
    careful, median, blind, even = (way.decide(seen(running, 50.0), coming) for way in ways)
    behind = expected(coming, 0.95)
    assert 500 < behind < 600
    assert stand(replace(problem, rate=behind), {stage.name: stage.shares for stage in careful.plan.stages}).serves
    for other in (median, blind, even):
        assert not stand(replace(problem, rate=behind), {stage.name: stage.shares for stage in other.plan.stages}).serves


def test_under_overload_accuracy_is_shed_before_load():
    problem = ladder(cores=2, objective=LeastCost(0.95))
    running = runs(problem, "large")
    decision = decided(problem, seen(running, 300.0), knowledge=CERTAIN)
    (share,) = decision.targets["s0"].shares
    assert share.option.variant == "small"
    assert stand(replace(problem, rate=300.0), after(running, decision)).serves
    assert "accuracy is shed" in decision.reason


def test_when_nothing_carries_the_load_the_most_that_can_be_is_carried_and_then_kept():
    problem = ladder(cores=2)
    running = runs(problem)
    first = decided(problem, seen(running, 5000.0))
    wanted = after(running, first)
    assert cores(wanted) == 2
    assert "too many" in first.reason
    assert decided(problem, seen(wanted, 5000.0)).targets == {}


def test_while_replicas_start_the_ready_ones_bridge_with_a_faster_variant():
    # one replica of the large variant carries 189 rows/s at most, two are wanted, and a replica takes 20 s
    problem = replace(ladder(objective=ACCURATE_ENOUGH), rate=250.0)
    policy = Sluice(problem, times=ChangeTimes(cold_start_s=20.0, variant_s=1.0), knowledge=CERTAIN)
    one = runs(problem, "large", 4, 4)
    first = policy.decide(seen(one, 250.0), NO_FORECAST)
    bridge = after(one, first)
    (share,) = bridge["s0"]
    assert share.option.variant == "small"
    assert share.replicas > 1
    assert stand(problem, {"s0": (replace(share, replicas=1),)}).serves
    loading = policy.decide(seen(bridge, 250.0, starting=share.replicas - 1), NO_FORECAST, first.memory)
    assert loading.targets == {}
    assert "bridged" in loading.reason
    done = after(bridge, policy.decide(seen(bridge, 250.0), NO_FORECAST, loading.memory))
    assert stand(problem, done).holds
    assert done["s0"][0].option.variant == "large"


def test_a_gain_that_does_not_pay_for_the_change_is_left():
    # one replica of 4 cores instead of what is cheapest; at a price that never pays back, it stays
    problem = ladder(objective=LeastCost())
    running = runs(problem, "small", 1, 4)
    dear = ChangeTimes(cold_start_s=1e6, resize_s=1e6)
    assert decided(problem, seen(running, 20.0)).targets
    assert decided(problem, seen(running, 20.0), times=dear).targets == {}
    assert decided(problem, seen(running, 20.0), times=dear, knowledge=Knowledge(switching=False)).targets


def test_waves_are_followed_less_often_where_following_them_takes_longer():
    problem = ladder(objective=Weighted(1.0, 0.03))
    waves = ([100.0] * 15 + [250.0] * 15) * 10

    def changes(cold_start_s: float) -> int:
        runs_at = follow(Sluice(problem, ChangeTimes(cold_start_s=cold_start_s)), runs(problem), waves)
        return sum(before["s0"][0].option.variant != now["s0"][0].option.variant for before, now in pairwise(runs_at))

    assert 0 < changes(8.0) <= changes(0.5) / 2


def test_two_plans_alike_are_no_reason_to_change():
    problem = ladder(objective=LeastCost())
    best = plan(replace(problem, rate=50.0)).stages[0].shares[0]
    twin = replace(best.option, latency_ms=best.option.latency_ms - 1e-6)
    problem = replace(problem, stages=(replace(problem.stages[0], options=(twin, *problem.stages[0].options)),))
    assert decided(problem, seen({"s0": (best,)}, 50.0), knowledge=CERTAIN).targets == {}


@pytest.mark.parametrize(("rate", "stall_s", "expected"), [
    (100.0, 4.0, None),  # one subtask takes 200 rows/s: enough
    (190.0, 4.0, 2),  # above 0.7 of it: 190 / (0.7 * 200) = 1.4 -> 2; (2 * 200 - 190) * 60 > 190 * 4
    (190.0, 100.0, None),  # (400 - 190) * 60 = 12,600 gained, 190 * 100 = 19,000 left behind
])
def test_parallelism_goes_up_when_the_stall_pays(rate, stall_s, expected):
    problem = ladder(objective=MostAccurate())
    running = runs(problem, replicas=4)
    decision = decided(problem, seen(running, rate, true_rate=200.0), times=ChangeTimes(stall_s=stall_s), knowledge=CERTAIN)
    assert (decision.targets["s0"].parallelism if "s0" in decision.targets else None) == expected


def test_margins_are_not_held():
    # the greatest of ten upper bounds is far above each: what is held is what was there
    problem = ladder(objective=LeastCost())
    state = State(0.0, (100.0,) * 48, {"s0": StageState((Pool(option("small", 1, 1), 1),))})
    decision = Sluice(problem).decide(state, Forecast(1.0, {}))
    ((_, held, _),) = decision.memory.needs
    assert held == pytest.approx(100.0)
    assert not decision.reason.startswith("100 ")


def test_a_stage_that_runs_nothing_gets_its_first_plan():
    problem = ladder(objective=LeastCost())
    state = State(0.0, (50.0,), {"s0": StageState(())})
    wanted = after({}, decided(problem, state))
    assert stand(replace(problem, rate=50.0), wanted).serves


def test_no_load_at_all_is_the_least_that_may_run():
    problem = ladder(objective=LeastCost())
    runs_at = follow(Sluice(problem), runs(problem, "large", 1, 2, 3), [0.0] * 15)
    assert cores(runs_at[-1]) == 1


def test_before_any_rate_is_known_nothing_is_changed():
    problem = ladder(objective=LeastCost())
    decision = decided(problem, replace(seen(runs(problem, replicas=3), 50.0), rates=()))
    assert decision.targets == {}


def test_two_plans_of_nearly_equal_cost_are_no_reason_to_give_up_a_replica():
    # two replicas of one core against one of two: the same cost but for a tenth of a core
    one, two = option("small", 4, 1), option("small", 4, 2)
    problem = ladder(objective=LeastCost())
    cheap = replace(two, cost=2 * one.cost - 0.1)
    problem = replace(problem, stages=(replace(problem.stages[0], options=(one, cheap)),))
    running = {"s0": (Share(one, 2),)}
    assert decided(problem, seen(running, 300.0), times=ChangeTimes(cold_start_s=0.0)).targets
    assert decided(problem, seen(running, 300.0), times=ChangeTimes(cold_start_s=10.0)).targets == {}


def test_new_replicas_start_small_beside_the_large_one_that_bridges_and_then_all_are_small():
    # one core carries less than 400 rows/s, 4 cores carry them; two of one core are wanted
    problem = ladder(objective=LeastCost())
    small, large = option("small", 4, 1), option("small", 4, 4)
    policy = Sluice(problem, times=ChangeTimes(cold_start_s=10.0), knowledge=CERTAIN, levers=Levers(variants=False))
    pools = (Pool(large, 1, 0, 0.6), Pool(small, 0, 1, 0.4))
    starting = State(100.0, (400.0,) * 60, {"s0": StageState(pools, rate=400.0)})
    both = policy.decide(starting, NO_FORECAST)
    assert "bridged" in both.reason
    ready = replace(starting, stages={"s0": StageState((Pool(large, 1, 0, 0.6), Pool(small, 1, 0, 0.4)), rate=400.0)})
    (share,) = policy.decide(ready, NO_FORECAST, both.memory).targets["s0"].shares
    assert (share.replicas, share.option.units) == (2, 1)
