"""The price of a change, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.switching import ChangePrice
from tests.planner.brute import Waits

SMALL = Option("m", 1, 1.0, 10.0, 10.0, 0.5, 1.0)
LARGE = Option("m", 4, 2.0, 10.0, 20.0, 0.5, 2.0)
OTHER = Option("k", 1, 1.0, 10.0, 10.0, 0.9, 1.0)
GPU = replace(SMALL, device="gpu")

RUNS = ChangePrice({"a": (Share(SMALL, 3),)}, horizon_s=60.0, cold_start_s=6.0, load_s={"k": 3.0}, resize_s=0.3)


@pytest.mark.parametrize(("share", "price"), [
    (Share(SMALL, 3), 0.0),
    (Share(SMALL, 2), 0.0),
    (Share(SMALL, 5), 2 * 6 / 60),
    (Share(LARGE, 3), 3 * 2 * 0.3 / 60),                  # in place
    (Share(LARGE, 4), 2 * (3 * 0.3 + 1 * 6) / 60),        # three in place, one new
    (Share(OTHER, 2), 2 * (6 + 3) / 60),
    (Share(GPU, 1), 6 / 60)])
def test_price(share, price):
    assert RUNS.price("a", (share,)) == pytest.approx(price)


def test_what_goes_is_paid_as_far_as_it_is_wanted_again():
    missed = replace(RUNS, comes_back=0.5)
    assert missed.price("a", (Share(SMALL, 1),)) == pytest.approx(2 * 6 * 0.5 / 60)
    assert missed.price("a", (Share(SMALL, 5),)) == RUNS.price("a", (Share(SMALL, 5),))


def test_a_stage_that_does_not_run_yet_starts_all():
    assert RUNS.price("b", (Share(SMALL, 2),)) == pytest.approx(2 * 6 / 60)


def test_several_variants_are_priced_one_by_one():
    shares = Share(SMALL, 4, 0.5), Share(OTHER, 1, 0.5)
    assert RUNS.price("a", shares) == pytest.approx(sum(RUNS.price("a", (share,)) for share in shares))
    assert RUNS.by_variant


def test_a_stall_costs_the_replicas_and_the_backlog():
    stalls = replace(RUNS, cold_start_s=0.0, stall_s=2.0, rates={"a": 40.0})
    assert stalls.price("a", (Share(SMALL, 4),)) == pytest.approx(2 * (4 + 40 / 10) / 60)
    assert stalls.price("a", (Share(SMALL, 3),)) == 0.0


def test_a_horizon_must_be_above_0():
    with pytest.raises(ValueError, match="horizon"):
        ChangePrice({}, horizon_s=0.0)


def test_a_plan_changes_only_what_pays():
    cheaper = replace(OTHER, cost=0.8)
    one = Problem((StageModel("a", (SMALL, cheaper)),), 30.0, 100.0, LeastCost(), Waits())
    assert plan(one).stages[0].shares[0].option == cheaper
    stays = plan(replace(one, switching=RUNS))          # 3 * 0.8 + 3 * 0.8 * 9 / 60 = 2.76 < 3
    assert stays.stages[0].shares[0].option == cheaper
    assert stays.totals.change == pytest.approx(0.36)
    assert plan(replace(one, switching=replace(RUNS, horizon_s=30.0))).stages[0].shares[0].option == SMALL  # 3.12 > 3
