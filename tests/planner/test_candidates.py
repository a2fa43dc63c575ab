"""Ways to run one stage: the least replicas, further ones, ticks, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoscaler.planner.candidates import Candidates, last_tick
from autoscaler.planner.model import Option, Problem, StageModel
from autoscaler.planner.objectives import LeastCost
from tests.planner.brute import PerVariant, Waits


def option(latency_ms=10.0, cost=1.0, *, variant="m", batch=1, throughput=10.0, device="cpu", units=1.0, memory_gb=0.0):
    return Option(variant, batch, units, latency_ms, throughput, 0.5, cost, device, memory_gb)


def candidates(*options, sizing=None, devices=None, grid_ms=1.0, switching=None, **stage):
    made = StageModel("a", options, **stage)
    return Candidates(Problem((made,), 10.0, 100.0, LeastCost(), sizing or Waits(), devices or {}, grid_ms=grid_ms, switching=switching), made)


def listed(ways):
    return list(zip(ways.option.tolist(), ways.replicas.tolist(), ways.ticks.tolist(), strict=True))


def cost(ways):
    return ways.cost


@pytest.mark.parametrize(("rate", "replicas"), [(0.0, 1), (9.99, 1), (10.0, 1), (10.0 + 5e-10, 1), (10.1, 2), (20.0, 2), (30.0 + 1e-8, 4), (9999.0, 1000)])
def test_least_replicas_that_carry_the_rate(rate, replicas):
    assert listed(candidates(option()).ways(rate)) == [(0, replicas, 10)]


def test_tenths_do_not_cost_a_replica():
    assert listed(candidates(option(throughput=0.1)).ways(0.3)) == [(0, 3, 10)]  # 3 * 0.1 = 0.30000000000000004, 0.3 / 0.1 = 2.9999999999999996


def test_least_and_most():
    assert listed(candidates(option(), least=3).ways(5.0)) == [(0, 3, 10)]
    assert listed(candidates(option(), most=2).ways(21.0)) == []
    assert listed(candidates(option(), least=0).ways(0.0)) == [(0, 0, 10)]


def test_more_of_a_kind_than_there_is():
    assert listed(candidates(option(units=2.0), devices={"cpu": 5}).ways(20.0)) == [(0, 2, 10)]
    assert listed(candidates(option(units=2.0), devices={"cpu": 5}).ways(30.0)) == []
    assert listed(candidates(option(memory_gb=2.0), devices={"memory_gb": 3}).ways(20.0)) == []
    assert listed(candidates(option(units=2.0, device="gpu"), devices={"cpu": 0}).ways(30.0)) == [(0, 3, 10)]


@pytest.mark.parametrize(("latency_ms", "grid_ms", "ticks"), [(10.0, 1.0, 10), (10.01, 1.0, 11), (0.3, 0.1, 3), (10.0, 3.0, 4)])
def test_time_is_rounded_up_to_the_grid(latency_ms, grid_ms, ticks):
    assert candidates(option(latency_ms), grid_ms=grid_ms).ways(1.0).ticks.tolist() == [ticks]


def test_wait_for_the_batch_counts():
    assert candidates(option(batch=4), sizing=Waits(fill=50.0)).ways(10.0).ticks.tolist() == [25]  # 10 + 50 * 3 / 10


@pytest.mark.parametrize("price", [None, cost])
def test_more_replicas_while_the_ticks_fall(price):
    # wait 8 / n: 18, 14, 12.7, 12, 11.6, .. and 10.008 at 1000 replicas, 11 ticks, which 8 reach
    found = candidates(option(), sizing=Waits(crowd=8.0)).ways(5.0, price=price)
    assert listed(found) == [(0, 1, 18), (0, 2, 14), (0, 3, 13), (0, 4, 12), (0, 8, 11)]


def test_an_option_that_something_cheaper_beats_is_dropped_only_where_the_price_decides():
    three = candidates(option(10.0, 1.0), option(12.0, 2.0), option(5.0, 3.0))
    assert listed(three.ways(5.0, price=cost)) == [(0, 1, 10), (2, 1, 5)]
    assert len(three.ways(5.0).ticks) == 3


def test_the_ways_looked_at_from_the_cheapest_hold_every_one_that_none_beats():
    rng = np.random.default_rng(7)
    for _ in range(30):
        options = [option(float(rng.integers(1, 30)), float(rng.integers(1, 6)), throughput=float(rng.integers(3, 20))) for _ in range(12)]
        one = candidates(*options, sizing=Waits(crowd=float(rng.choice([0, 15]))), most=6)
        every, few = one.ways(12.0), one.ways(12.0, price=cost)
        front = {(ticks, price) for ticks, price in zip(every.ticks.tolist(), every.cost.tolist(), strict=True)
                 if not any((other <= ticks and less < price) or (other < ticks and less <= price)
                            for other, less in zip(every.ticks.tolist(), every.cost.tolist(), strict=True))}
        assert set(zip(few.ticks.tolist(), few.cost.tolist(), strict=True)) >= front
        assert len(few.ticks) <= len(every.ticks)


def test_one_variant_at_a_share_of_the_rate():
    both = candidates(option(variant="x"), option(variant="y", throughput=4.0), share_step=0.5)
    found = both.ways(5.0, variant="y", share=0.5)
    assert listed(found) == [(1, 2, 10)]
    assert found.share_of(0).share == 0.5


def test_accuracy_given_another_stage():
    both = candidates(option(variant="x"), option(variant="y"))
    found = both.ways(5.0, accuracy={"y": 0.25})
    assert (found.option.tolist(), found.accuracy.tolist()) == ([1], [0.25])


def test_price_of_change():
    running = PerVariant((("a", "m", 2),))
    assert candidates(option(), switching=running).ways(35.0).change.tolist() == [pytest.approx(0.6)]  # 4 replicas, 2 run
    assert candidates(option(), switching=running).ways(15.0).change.tolist() == [0.0]


def test_uses_by_kind():
    found = candidates(option(units=2.0, memory_gb=0.5), option(device="gpu")).ways(15.0)
    assert {kind: units.tolist() for kind, units in found.used.items()} == {"cpu": [4.0, 0.0], "gpu": [0.0, 2.0], "memory_gb": [1.0, 0.0]}


@pytest.mark.parametrize(("slo_ms", "grid_ms", "strict", "ticks"), [
    (10.0, 1.0, False, 10), (10.0, 1.0, True, 9), (10.5, 1.0, True, 10), (0.3, 0.1, False, 3), (0.3, 0.1, True, 2), (0.0, 1.0, False, 0), (0.0, 1.0, True, -1)])
def test_last_tick(slo_ms, grid_ms, strict, ticks):
    made = StageModel("a", (option(),))
    assert last_tick(replace(Problem((made,), 1.0, slo_ms, LeastCost(), Waits()), grid_ms=grid_ms, strict=strict)) == ticks
