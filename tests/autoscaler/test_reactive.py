import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.graph.pipeline import Budget, Replicas
from autoscaler.reactive import Action, Observed, ReactiveSettings, Running, StageHistory, decide, slo_share_ms
from tests.autoscaler.builders import observed, pipeline, stage, telemetry, window

SETTINGS = ReactiveSettings()
NOW_S = 1000.0


def decide_one(seen, of=None, now_s=NOW_S):
    return decide(of or pipeline(), seen, SETTINGS, now_s).stages[0]


def calm(need_rps, since_s=NOW_S - 60.0):
    """A history of that need for a minute."""
    return {"classify": StageHistory(since_s, ((NOW_S - 20.0, need_rps), (NOW_S - 1.0, need_rps)))}


def test_a_load_that_fits_changes_nothing():
    decision = decide(pipeline(), observed(900.0), SETTINGS, NOW_S)  # 8 rows / 6 ms * 0.7 = 933 rows/s
    assert (decision.stages[0].action, decision.changes) == (Action.KEEP, {})


def test_the_batch_grows_before_a_replica_is_added():
    decision = decide(pipeline(), observed(1100.0), SETTINGS, NOW_S)  # batch 16: 16 / 10 ms * 0.7 = 1120
    assert decision.changes == {"classify": {"batch": 16}}
    assert "needs 1100 rows/s" in decision.reason


def test_a_further_replica_comes_with_the_largest_batch_that_fits():
    decision = decide(pipeline(), observed(2000.0), SETTINGS, NOW_S)  # 64 / 34 ms * 0.7 = 1318 each
    assert decision.changes == {"classify": {"replicas": 2, "batch": 64}}


def test_a_batch_takes_at_most_half_of_the_slo_share():
    assert decide_one(observed(2000.0), pipeline(slo_ms=40.0)).plan.batch == 32  # 2 + 32 * 0.5 = 18 ms <= 20 ms < 34 ms
    two = pipeline(stage(), stage("doubtful", ("classify",)), slo_ms=40.0)
    assert decide_one(observed(2000.0), two).plan.batch == 16  # 10 ms <= 10 ms


def test_the_slo_is_shared_along_the_longest_path():
    graph = pipeline(stage("locate"), stage("classify", ("locate",)), stage("doubtful", ("classify",)),
                     stage("number", ("classify", "doubtful"), operator=None), stage("other", ("locate",)), slo_ms=300.0)
    assert slo_share_ms(graph, "doubtful") == 100.0  # locate, classify, doubtful
    assert slo_share_ms(graph, "other") == 150.0


def test_a_backlog_is_drained_within_the_catch_up_time():
    seen = observed(900.0, queued=1000, proxies={"0": {"received": 0, "in_flight": 0, "waiting": 1000}})
    assert decide_one(seen).inputs.need_rps == 1100.0  # 900 + 2000 / 10 s


def test_a_backlog_does_not_count_while_replicas_load():
    seen = observed(1700.0, running=Running(2, 8), queued=50_000, replicas_ready=1)
    assert decide_one(seen).inputs.need_rps == 1700.0


def test_what_does_not_fit_gets_all_there_is_and_is_said_to_be_short():
    assert decide_one(observed(1e6)).plan == Running(4, 64)
    at_the_end = decide_one(observed(1e6, running=Running(4, 64)))
    assert (at_the_end.action, at_the_end.change()) == (Action.SHORT, {})
    assert "carries only" in at_the_end.reason


def test_nothing_goes_down_before_the_interval_has_passed():
    seen = observed(10.0, running=Running(4, 64))
    first = decide_one(seen)
    assert (first.action, first.wanted, first.change()) == (Action.WAIT, Running(1, 64), {})
    later = decide_one(Observed(seen.windows, seen.running, calm(10.0)))
    assert (later.action, later.change()) == (Action.DOWN, {"replicas": 1})


def test_down_goes_by_the_highest_need_of_the_interval():
    seen = observed(10.0, running=Running(4, 64))
    decision = decide_one(Observed(seen.windows, seen.running, calm(2000.0)))
    assert decision.plan == Running(2, 64)  # 2000 * 1.2 = 2400 <= 2 * 64 / 34 ms * 0.7 = 2635, and one replica carries half of that


def test_a_step_up_starts_the_interval_anew():
    seen = observed(2000.0)
    up = decide(pipeline(), Observed(seen.windows, seen.running, calm(10.0)), SETTINGS, NOW_S)
    assert (up.stages[0].action, up.history["classify"].since_s) == (Action.UP, NOW_S)


def test_stale_or_missing_knowledge_holds_and_says_so():
    seen = observed(1e6)
    cases = [
        (decide_one(seen, now_s=NOW_S + 6.0), "stale, 6.0 s old"),
        (decide_one(Observed({}, seen.running)), "no telemetry yet"),
        (decide_one(Observed(seen.windows, {})), "setting is not known"),
        (decide_one(observed(1e6, service_time=None)), "not learned"),
    ]
    for decision, words in cases:
        assert (decision.action, decision.change()) == (Action.HOLD, {})
        assert words in decision.reason


def test_a_gap_in_the_telemetry_starts_the_interval_anew():
    seen = observed(10.0, running=Running(4, 64))
    gap = {"classify": StageHistory(NOW_S - 60.0, ((NOW_S - 6.0, 10.0),))}
    assert decide_one(Observed(seen.windows, seen.running, gap)).action is Action.WAIT


def test_a_batch_that_takes_too_long_throughout_the_window_is_shortened_at_once():
    slow = {"fixed_ms": 2.0, "per_row_ms": 2.0}  # 64 rows: 130 ms; 16 rows: 34 ms <= 50 ms
    records = [telemetry(second, NOW_S - 14.0 + second, batch=64, service_time=slow) for second in range(15)]
    running = {"classify": Running(1, 64)}
    assert decide_one(Observed({"classify": window(*records)}, running)).change() == {"batch": 16}
    assert decide_one(Observed({"classify": window(*records[-3:])}, running)).change() == {}


def test_what_runs_outside_the_bounds_is_brought_inside():
    of = pipeline(stage(replicas=Replicas(min=2, max=3), batch_max=32))
    assert decide_one(observed(10.0, running=Running(1, 8)), of).plan == Running(2, 8)
    assert decide_one(observed(10.0, running=Running(9, 64)), of).plan == Running(3, 32)


def test_a_foreign_stage_is_nobody_to_scale():
    of = pipeline(stage(endpoint="elsewhere:8001"), stage("number", ("classify",), operator=None))
    assert decide(of, Observed({}, {}), SETTINGS, NOW_S).stages == ()


def two_stages(first_rps, second_rps, running, budget):
    of = pipeline(stage("a"), stage("b", ("a",)), slo_ms=200.0, budget=budget)
    windows = {name: window(telemetry(at_s=NOW_S, stage=name, arrivals=rate, replicas_ready=4))
               for name, rate in (("a", first_rps), ("b", second_rps))}
    return decide(of, Observed(windows, running), SETTINGS, NOW_S)


def test_the_worse_covered_stage_gets_the_last_replica():
    running = {"a": Running(1, 64), "b": Running(1, 64)}
    decision = two_stages(1500, 5000, running, Budget(replicas=3))
    assert {stage.stage: stage.plan.replicas for stage in decision.stages} == {"a": 1, "b": 2}
    assert decision.stages[0].action is Action.SHORT
    assert "budget leaves 1 of 2" in decision.stages[0].reason


def test_a_replica_in_use_is_not_taken_away_for_another_stage():
    running = {"a": Running(2, 64), "b": Running(1, 64)}
    assert two_stages(100, 5000, running, Budget(cores=3)).changes == {}


def test_more_than_the_budget_is_given_back():
    running = {"a": Running(3, 64), "b": Running(3, 64)}
    assert two_stages(100, 1500, running, Budget(cores=4)).changes == {"a": {"replicas": 1}}  # b needs 2, has 3


RATES = st.floats(0, 1e6)
TIMES = st.fixed_dictionaries({"fixed_ms": st.floats(0, 200), "per_row_ms": st.floats(0, 50)})
RUNNING = st.builds(Running, st.integers(1, 6), st.integers(1, 128), st.integers(1, 2))
BOUNDS = st.tuples(st.integers(1, 4), st.integers(0, 4)).map(lambda pair: Replicas(pair[0], pair[0], sum(pair)))


@given(RATES, TIMES, RUNNING, BOUNDS, st.integers(1, 100), st.none() | st.integers(1, 12), RATES)
def test_a_plan_is_always_within_bounds_and_budget(rate_rps, times, running, bounds, batch_max, cores, past_rps):
    of = pipeline(stage(replicas=bounds, batch_max=batch_max), budget=Budget(cores=cores))
    seen = observed(rate_rps, running=running, service_time=times)
    plan = decide_one(Observed(seen.windows, seen.running, calm(past_rps)), of).plan
    assert bounds.min <= plan.replicas <= bounds.max
    assert 1 <= plan.batch <= batch_max
    assert cores is None or plan.replicas == bounds.min or plan.replicas * running.cores <= cores


@given(RATES, RATES, TIMES, RUNNING, st.booleans())
def test_more_load_never_gets_less(one_rps, other_rps, times, running, settled):
    low, high = sorted((round(one_rps), round(other_rps)))
    plans = []
    for rate in (low, high):
        seen = observed(rate, running=running, service_time=times)
        plans.append(decide_one(Observed(seen.windows, seen.running, calm(0.0) if settled else {})).plan)
    carries = [plan.replicas * plan.batch / max(times["fixed_ms"] + times["per_row_ms"] * plan.batch, 1e-6) for plan in plans]
    assert plans[0].replicas <= plans[1].replicas
    assert carries[0] <= carries[1] * (1 + 1e-9)


@given(RATES, TIMES, RUNNING, st.floats(5.1, 1e4))
def test_stale_telemetry_always_holds(rate_rps, times, running, age_s):
    stale = decide_one(observed(rate_rps, running=running, service_time=times), now_s=NOW_S + age_s)
    assert (stale.action, stale.change()) == (Action.HOLD, {})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20_000), st.lists(st.floats(0.97, 1.03), min_size=90, max_size=90), TIMES,
       st.builds(Running, st.integers(1, 4), st.integers(1, 64)))
def test_a_constant_rate_never_goes_back_and_forth(rate_rps, noise, times, running):
    seen, history, changed = window(length_s=15.0), {}, []
    for second, factor in enumerate(noise):
        now_s = NOW_S + second
        seen.observe(telemetry(second, now_s, arrivals=round(rate_rps * factor), replicas=running.replicas, batch=running.batch,
                               service_time=times), now_s)
        decision = decide(pipeline(), Observed({"classify": seen}, {"classify": running}, history), SETTINGS, now_s)
        history = decision.history
        if decision.changes:
            running = decision.stages[0].plan
            changed.append((second, decision.stages[0].action))
    assert len(changed) <= 4
    downs = [second for second, action in changed if action is Action.DOWN]
    assert not any(second > downs[0] and action is Action.UP for second, action in changed if downs)


def test_the_rule_needs_no_library():
    blocked = ("faust", "aiokafka", "aiohttp", "kafka", "torch", "prometheus_client", "numpy")
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import autoscaler.reactive, autoscaler.telemetry"
    subprocess.run([sys.executable, "-c", program], check=True)
