"""Themis' controller: which branch, what each does, and what it remembers. Video's published surfaces."""

import math
from dataclasses import replace

import pytest

from autoscaler.planner.model import Share
from autoscaler.policies.horizontal_only import HorizontalOnly
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from autoscaler.policies.themis import Themis, ThemisMemory, exceeds, throughput
from autoscaler.policies.vertical_dp import Fixed, hybrid, largest_vertical, vertical
from autoscaler.policies.vertical_only import VerticalOnly
from bench.published.themis import problem
from tests.policies.test_themis_reference import VIDEO

OF = problem(VIDEO, 300.0, 50.0)
NAMES = [stage.name for stage in OF.stages]
STEADY, SURGE = Forecast(10.0, {}, surge=0.0), Forecast(10.0, {}, surge=0.5)


def option(stage: str, batch: int, cores: int):
    return next(option for option in OF.stage(stage).options if (option.batch, option.units) == (batch, cores))


def seen(rates, *settings, now_s=0.0):
    """settings: (replicas, batch, cores) of each stage."""
    stages = {name: StageState((Pool(option(name, batch, cores), replicas),))
              for name, (replicas, batch, cores) in zip(NAMES, settings, strict=True)}
    return State(now_s, rates, stages)


def settings(decision):
    return [(share.replicas, share.option.batch, int(share.option.units))
            for share in (decision.targets[name].shares[0] for name in NAMES)]


def sizes(decision, stage: int):
    return [(share.replicas, share.option.batch, int(share.option.units)) for share in decision.targets[NAMES[stage]].shares]


def mixed(rates, *pools):
    """pools: ((replicas, batch, cores, starting), ...) of each stage."""
    stages = {name: StageState(tuple(Pool(option(name, batch, cores), count - starting, starting) for count, batch, cores, starting in of_stage))
              for name, of_stage in zip(NAMES, pools, strict=True)}
    return State(0.0, rates, stages)


def test_a_surge_is_met_in_place():
    decision = Themis(OF).decide(seen((10.0, 30.0), (2, 1, 1), (2, 1, 1)), SURGE)
    # 30 + sqrt(30) rounds to 35 on two instances each: 2 * floor(1000 / l) >= 35 from 1 core (2 * 17 = 34) no, from 2 cores on
    assert decision.reason.startswith("vertical")
    assert [replicas for replicas, _, _ in settings(decision)] == [2, 2]
    assert settings(decision)[0][2] == 2
    for name in NAMES:
        share = decision.targets[name].shares[0]
        assert share.replicas * share.option.throughput >= 35


def test_sizes_never_fall_in_the_vertical_branch():
    decision = Themis(OF).decide(seen((30.0,), (3, 1, 2), (3, 1, 3)), SURGE)
    assert [cores for _, _, cores in settings(decision)] == [2, 3]


def test_beyond_the_largest_size_instances_are_added():
    rate, fixed = 183, {name: Fixed(2, OF.stage(name).options) for name in NAMES}
    assert vertical(OF, rate, fixed, OF.sizing) is None
    reached, sizes = largest_vertical(OF, rate, fixed, OF.sizing)
    assert vertical(OF, reached + 1, fixed, OF.sizing) is None
    plan = hybrid(OF, rate, fixed, OF.sizing)
    for name in NAMES:
        assert plan[name].option == sizes[name].option
        assert plan[name].replicas == 2 + math.ceil((rate - reached) / sizes[name].option.throughput)


def test_a_stage_at_its_largest_size_goes_horizontal():
    decision = Themis(OF).decide(seen((100.0,), (2, 1, 4), (2, 1, 1)), SURGE)
    assert decision.reason.startswith("horizontal")
    # optimum for 100/s is (6, 5) at batches (2, 1), one core; the first stage is to shrink: one more, 5 of them new
    assert sizes(decision, 0) == [(2, 1, 4), (5, 2, 1)]
    assert sizes(decision, 1) == [(5, 1, 1)]
    assert sum(share.share for share in decision.targets[NAMES[0]].shares) == pytest.approx(1)


def test_the_others_shrink_when_the_new_ones_are_ready():
    policy = Themis(OF)
    first = policy.decide(seen((100.0,), (2, 1, 4), (2, 1, 1)), SURGE)
    loading = mixed((100.0,), ((2, 1, 4, 0), (5, 2, 1, 3)), ((5, 1, 1, 0),))
    waiting = policy.decide(loading, STEADY, first.memory)
    assert waiting.targets == {}
    assert waiting.memory == first.memory
    loaded = mixed((100.0,), ((2, 1, 4, 0), (5, 2, 1, 0)), ((5, 1, 1, 0),))
    shrunk = policy.decide(loaded, STEADY, waiting.memory)
    assert sizes(shrunk, 0) == [(7, 2, 1)]
    assert shrunk.memory.coming == {}


def test_a_surge_while_new_ones_load_resizes_all():
    policy = Themis(OF)
    first = policy.decide(seen((50.0,), (2, 1, 3), (2, 1, 2)), STEADY)
    assert sizes(first, 0) == [(2, 1, 3), (2, 2, 1)]
    loading = mixed((90.0,), ((2, 1, 3, 0), (2, 2, 1, 2)), ((2, 1, 2, 0), (2, 1, 1, 2)))
    grown = policy.decide(loading, SURGE, first.memory)
    assert grown.reason.startswith("vertical")
    assert [replicas for replicas, _, _ in settings(grown)] == [4, 4]
    assert grown.memory.coming == {}


def test_without_room_for_both_sizes_all_shrink_at_once():
    tight = replace(OF, devices={"cpu": 12})
    decision = Themis(tight).decide(seen((50.0,), (2, 1, 3), (2, 1, 2)), STEADY)
    assert settings(decision) == [(4, 2, 1), (4, 1, 1)]  # 3 and 3 for 50/s, one more each
    assert decision.memory.coming == {}


def test_scale_in_waits_for_twenty_decisions_in_a_row():
    policy, memory, waits = Themis(OF), None, 0
    state = seen((20.0,), (4, 1, 1), (4, 1, 1))
    decision = policy.decide(state, STEADY, memory)
    while not decision.targets:
        waits, memory = waits + 1, decision.memory
        decision = policy.decide(state, STEADY, memory)
    assert waits == 19  # the twentieth acts
    assert settings(decision) == [(2, 1, 1), (2, 1, 1)]
    assert decision.memory.steps == 0


def test_a_surge_starts_the_count_again():
    policy = Themis(OF)
    waiting = policy.decide(seen((20.0,), (4, 1, 1), (4, 1, 1)), STEADY, ThemisMemory(12))
    assert waiting.memory.steps == 13
    assert policy.decide(seen((20.0,), (4, 1, 1), (4, 1, 1)), SURGE, waiting.memory).memory.steps == 0


def test_the_rate_is_the_most_of_five_seconds():
    high, low = (90.0, 20.0, 20.0, 20.0, 20.0), (90.0, 20.0, 20.0, 20.0, 20.0, 20.0)
    policy = Themis(OF)
    assert "90 events/s" in policy.decide(seen(high, (8, 2, 1), (8, 1, 1)), STEADY).reason
    assert "20 events/s" in policy.decide(seen(low, (8, 2, 1), (8, 1, 1)), STEADY).reason


def test_how_likely_the_load_exceeds_what_runs():
    quantiles = Forecast(10.0, {0.5: 40.0, 0.9: 60.0, 0.99: 80.0})
    assert exceeds(replace(quantiles, surge=0.3), 10, 20) == 0.3
    assert exceeds(quantiles, 10, 60) == pytest.approx(0.1)
    assert exceeds(quantiles, 10, 50) == pytest.approx(0.3)
    assert exceeds(quantiles, 10, 80) == 0
    assert exceeds(quantiles, 10, 30) == 1
    assert exceeds(Forecast(10.0, {0.5: 40.0}), 10, 41) == 0
    assert exceeds(Forecast(10.0, {}), 21, 20) == 1
    assert exceeds(Forecast(10.0, {}), 20, 20) == 0


def test_what_runs_carries_what_its_weakest_stage_does():
    now = {name: (Share(option(name, 1, 1), 1), Share(option(name, 1, 1), 1)) for name in NAMES}
    assert throughput(OF, now) == 2 * 17  # floor(1000 / 56) of the detector, against 23


def test_horizontal_only_waits_with_scale_in_and_not_with_scale_out():
    policy = HorizontalOnly(OF)
    assert policy.decide(seen((20.0,), (4, 1, 1), (4, 1, 1)), STEADY).targets == {}
    assert settings(policy.decide(seen((100.0,), (4, 1, 1), (4, 1, 1)), STEADY, 7)) == [(6, 2, 1), (5, 1, 1)]


def test_vertical_only_keeps_instances_for_the_peak():
    policy = VerticalOnly(OF, peak_rate=183)
    low = policy.decide(seen((20.0,), (1, 1, 1), (1, 1, 1)), STEADY)
    counts = [replicas for replicas, _, _ in settings(low)]
    for name, replicas in zip(NAMES, counts, strict=True):
        best = max(option.throughput for option in OF.stage(name).options if option.units == 4)
        assert replicas == math.ceil(round(183 + math.sqrt(183)) / best)
    running = seen((183.0,), *settings(low))
    peak = policy.decide(running, STEADY)
    assert [replicas for replicas, _, _ in settings(peak)] == counts
    assert policy.decide(seen((20.0,), *settings(peak)), STEADY).targets == {}  # a step down waits
    assert settings(policy.decide(seen((20.0,), *settings(peak)), STEADY, 19)) == settings(low)
