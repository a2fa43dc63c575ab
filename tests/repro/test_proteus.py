"""The Proteus comparison: its batch rule, the bound, and its contenders on a small cluster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoscaler.planner.model import Option, Problem, RateTerm, Share, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Target
from bench.published import proteus as published
from bench.repro.level import HEADLINE, Level
from bench.repro.proteus import Families, as_families, beside, between, case, contenders, dispatched, families, findings, unbeaten
from bench.repro.proteus_bound import bounded, fluid
from bench.repro.proteus_filled import filled
from bench.repro.proteus_rule import ProteusRule, power
from bench.repro.proteus_unseen import by_window, of_mean, of_peak
from bench.repro.row import row
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.setting import Setting
from bench.repro.study import Study
from operators.batching import Reason, Release, View, Wait
from operators.queue import runs_of
from operators.service_time import ServiceTime
from operators.waiting import Waiting
from simulator.arrivals import Stamps
from simulator.simulation import simulate
from tests.repro.found import found_of

CERTAIN = Level(0.0)


def view(queued: int, deadline_s: float = 0.3, fixed_ms: float | None = 10.0, per_row_ms: float = 10.0, margin_ms: float = 0.0) -> View:
    """Batches of at most 8 rows."""
    queue, time = Waiting(), ServiceTime()
    for one in runs_of("a", np.full(queued, deadline_s), 0.0):
        queue.add(one)
    if fixed_ms is not None:
        time.fixed_s, time.per_row_s, time.margin_s = fixed_ms / 1000, per_row_ms / 1000, margin_ms / 1000
    return View(queue, 8, 1, 0.0, time)


def test_a_batch_leaves_at_the_last_moment():
    # due at 300 ms, two rows take 10 + 2 * 10
    assert ProteusRule().decide(view(2), 0.0) == Wait(pytest.approx(0.27, abs=1e-5))


def test_three_deviations_are_to_spare_unless_as_released():
    assert ProteusRule().decide(view(2, margin_ms=5.0), 0.0) == Wait(pytest.approx(0.255, abs=1e-5))  # 270 - 3 * 5
    assert ProteusRule(0.0).decide(view(2, margin_ms=5.0), 0.0) == Wait(pytest.approx(0.27, abs=1e-5))


def test_a_full_batch_does_not_wait():
    assert ProteusRule().decide(view(9), 0.0) == Release(8, Reason.FULL)


def test_batches_are_powers_of_two():
    rule = ProteusRule()
    assert rule.decide(view(7), 0.0) == Wait(pytest.approx(0.25, abs=1e-5))  # four of them: 300 - 50
    assert rule.decide(view(7), 0.25) == Release(4, Reason.DEADLINE)
    assert [power(rows) for rows in (1, 2, 3, 4, 7, 8)] == [1, 2, 2, 4, 4, 8]


def test_the_row_that_came_too_late_waits_for_the_next_batch():
    rule = ProteusRule()
    rule.decide(view(3), 0.0)  # until 300 - 30 for two of them
    assert rule.decide(view(4), 0.26) == Release(2, Reason.DEADLINE)  # four would take 50: the three before it are two


def test_what_is_not_known_is_tried():
    assert ProteusRule().decide(view(3, fixed_ms=None), 0.0) == Release(3, Reason.IDLE)


def problem(cpu: float = 3.0, gpu: float = 1.0) -> Problem:
    """Two families of two variants on two kinds: 20 and 60 ms a row on a core, a third of that on the GPU."""
    def options(name: str) -> tuple[Option, ...]:
        return tuple(Option(f"{name} {variant}", batch, 1.0, ms * (0.5 + 0.5 * batch) / speed, 1000 * batch * speed / (ms * (0.5 + 0.5 * batch)), accuracy,
                            1.0, kind)
                     for variant, ms, accuracy in (("small", 20.0, 0.8), ("large", 60.0, 1.0)) for kind, speed in (("cpu", 1), ("gpu", 3))
                     for batch in (1, 2, 4, 8))
    stages = tuple(StageModel(name, options(name), rates=(RateTerm(None, part),)) for name, part in (("yolo", 0.75), ("bert", 0.25)))
    return as_families(Problem(stages, 40.0, 300.0, MostAccurate(), NoWait(), {"cpu": cpu, "gpu": gpu}))


def small(rate: float = 60.0, seconds: int = 25, load_s: float = 0.0) -> Families:
    given = problem()
    times_s = np.sort(np.random.default_rng(1).uniform(0, seconds, int(rate * seconds)))
    parts = {stage.name: stage.weight for stage in given.stages}
    rates = tuple(np.bincount(times_s.astype(int)).astype(float).tolist())
    return Families(Setting(given, between(given), rates, ChangeTimes(load_s, variant_s=load_s), start=rate, graph=lambda make: beside(parts, make),
                            trace=Stamps(times_s)), parts)


def test_the_truth_lies_straight_between_measured_batches():
    surface = between(problem())
    option = problem().stages[0].options[0]
    assert surface("yolo", option, 1) == pytest.approx(20.0)
    assert surface("yolo", option, 3) == pytest.approx((30 + 50) / 2)  # of 2 and 4 rows


def test_the_best_feasible_accuracy_is_of_what_keeps_to_half_of_the_slo():
    one = small()
    assert one.best_feasible() == pytest.approx(1.0)
    hasty = replace(one, setting=replace(one.setting, problem=replace(one.problem, slo_ms=30.0)))  # small on the GPU takes 6.7 ms, large 20 ms
    assert hasty.best_feasible() == pytest.approx(0.8)


def test_the_bound_answers_all_with_the_best_where_devices_allow():
    one = fluid(problem(cpu=10.0), between(problem()), CERTAIN)
    found = bounded(one, [[15.0, 5.0]] * 3)
    assert found["violation_share"] == 0.0
    assert found["accuracy"] == found["accuracy_all"] == pytest.approx(1.0)


def test_the_bound_trades_accuracy_for_what_it_can_answer():
    # one core and nothing else. Small: 8 / 90 ms = 88.9 rows/s; large: 8 / 270 ms = 29.6 rows/s, both within 300 ms
    given = problem(cpu=1.0, gpu=0.0)
    half = bounded(fluid(given, between(given), CERTAIN), [[59.26, 0.0]])
    assert half["violation_share"] == pytest.approx(0.0, abs=1e-6)
    assert half["accuracy"] == pytest.approx(0.85, abs=1e-3)  # x / 29.6 + (59.3 - x) / 88.9 = 1: a quarter of the rows in the large one
    over = bounded(fluid(given, between(given), CERTAIN), [[177.78, 0.0]])
    assert over["violation_share"] == pytest.approx(0.5, abs=1e-3)


def test_a_bias_lowers_the_bound():
    given = problem(cpu=1.0, gpu=0.0)
    slower = bounded(fluid(given, between(given), Level(0.0, 0.1)), [[177.78, 0.0]])
    assert slower["violation_share"] > 0.54  # 88.9 / 1.1 of 177.8


@pytest.mark.parametrize("name", [one.name for one in contenders(small(), 3.0)])
def test_every_contender_answers(name):
    one = small(load_s=3.0)
    made = next(contender for contender in contenders(one, 3.0) if contender.name == name)
    scenario, control = made.make(HEADLINE, 1)
    found = row(simulate(scenario, control, 1, records=False))
    assert found["events"] == len(one.setting.trace.times_s)
    assert found["violation_share"] < 0.5
    assert 0.8 - 1e-9 <= found["accuracy"] <= 1.0 + 1e-9
    assert found["cores"] <= 4.0 + 1e-9


def test_events_go_to_their_families_and_keep_to_the_clusters_devices():
    one = small()
    scenario, control = contenders(one, 0.0)[0].make(HEADLINE, 3)
    done = simulate(scenario, control, 3)
    assert {station.name for station in scenario.graph.stations} == {"yolo", "bert"}
    passed = (done.records.events(2).variants >= 0).sum(axis=1)
    assert passed.max() == 1  # no event is in two families
    assert all(second.held.get(kind, 0.0) <= units + 1e-9 for second in done.records.seconds for kind, units in one.problem.devices.items())


def test_a_study_of_it_says_drop_and_violations():
    one = case("small", small(rate=110.0), ("proteus", "clipper-ht"))
    study = Study("proteus", "small", (one,), {}, metrics=("violation_share", "accuracy"), panels=("rate", "accuracy"))
    found: Found = found_of(study, 2)
    rows: Rows = found.headline["small"]
    assert rows.spread("clipper-ht", "accuracy").mean == pytest.approx(0.8)
    assert rows.spread(BOUND, "accuracy").mean >= rows.spread("proteus", "accuracy").mean - 1e-9
    said = findings(found, {"small": 1.0})
    assert any(sentence.startswith("small, clipper-ht: accuracy drop 20.00 points, 20.00 from the best feasible") for sentence in said)


def test_rows_that_expired_are_given_up():
    assert dispatched()("a").on_late == "dead-letter"


@pytest.mark.data
def test_the_published_traces_and_tables(shared):
    one = families("zipf_exponential", "20 + 10 + 10", 1e9)
    assert sum(one.setting.rates) == sum(sum(seconds) for seconds in published.requests("zipf_exponential").values())
    assert sum(one.parts.values()) == pytest.approx(1.0)
    assert one.parts["mobilenet"] == max(one.parts.values())
    assert 0.95 < one.best_feasible() < 1.0  # gpt2 and t5 in their best variants keep to half of the SLO nowhere


@pytest.mark.data
def test_a_few_seconds_of_the_published_trace(shared):
    one = families("zipf_exponential", "10 + 10 + 10", 3.0)
    scenario, control = next(made for made in contenders(one, 0.0) if made.name == "proteus").make(HEADLINE, 1)
    found = row(simulate(scenario, control, 1, records=False))
    assert found["events"] == sum(one.setting.rates)
    assert found["accuracy"] > 0.7


def test_idle_devices_go_where_the_load_is():
    yolo, bert = (stage.options[0] for stage in problem().stages)  # both 50 rows/s on a core
    targets = {"yolo": Target((Share(yolo, 1),)), "bert": Target((Share(bert, 1),))}
    parts = {"yolo": 0.75, "bert": 0.25}
    shared = filled(targets, {"cpu": 5.0, "gpu": 2.0}, parts)
    assert {name: target.shares[0].replicas for name, target in shared.items()} == {"yolo": 4, "bert": 1}  # loads 3:1, 3:2, 1:1
    kept = filled(targets, {"cpu": 5.0, "gpu": 2.0}, parts, {("cpu", "yolo"): 2.0, ("cpu", "bert"): 3.0})
    assert {name: target.shares[0].replicas for name, target in kept.items()} == {"yolo": 2, "bert": 3}


def test_options_that_another_beats_are_not_planned_with():
    best, slow, cheap = Option("a", 1, 1.0, 10.0, 100.0, 0.9, 1.0), Option("b", 1, 1.0, 12.0, 90.0, 0.9, 1.0), Option("c", 1, 1.0, 5.0, 200.0, 0.8, 1.0)
    elsewhere = replace(slow, device="gpu")
    assert unbeaten((best, slow, cheap, elsewhere)) == (best, cheap, elsewhere)


def test_seeds_take_the_windows_in_turn():
    both = by_window("both", [case(name, small(rate, seconds=12), ("proteus",)) for name, rate in (("first", 20.0), ("second", 40.0))])
    assert [len(both.contenders[0].make(HEADLINE, seed)[0].arrivals.trace.times_s) for seed in (2, 3)] == [240, 480]
    assert both.bound(HEADLINE, 2)["violation_share"] == 0.0


def test_windows_are_scaled_to_a_mean_or_a_busiest_second():
    assert of_mean((1.0, 3.0), 10.0) == (5.0, 15.0)
    assert of_peak((1.0, 4.0), 10.0) == (2.5, 10.0)
