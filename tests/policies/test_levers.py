"""What each lever leaves of a stage's options, and that what runs is always left."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Problem, RateTerm, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.policies.levers import IN_PLACE, limit, unconditioned
from autoscaler.policies.policy import Levers

NAMES = [field.name for field in fields(Levers)]


def option(variant: str, batch: int = 1, units: float = 1, device: str = "cpu") -> Option:
    latency_ms = 10.0 * batch / units
    return Option(variant, batch, units, latency_ms, 1000 * batch / latency_ms, 0.9, units, device)


ALL = tuple(option(*way) for way in product(("small", "large"), (1, 4, 8), (1, 2), ("cpu", "gpu")))


def problem(*stages: StageModel) -> Problem:
    return Problem(stages, 10.0, 100.0, LeastCost(), sizing=None)


def left(levers: Levers, *running: Share, step: float | None = None) -> StageModel:
    return limit(problem(StageModel("a", ALL, share_step=step)), {"a": running}, levers).stages[0]


def test_every_lever_leaves_everything():
    assert left(Levers(), Share(ALL[0], 2), step=0.05) == StageModel("a", ALL, share_step=0.05)


def test_a_stage_that_runs_nothing_is_left_free():
    assert left(Levers(*[False] * len(NAMES))).options == ALL


def test_without_variants_only_those_that_run():
    assert {o.variant for o in left(Levers(variants=False), Share(option("small"), 1)).options} == {"small"}


def test_without_batch_the_running_one_of_the_same_variant_and_for_others_any_that_runs():
    kept = left(Levers(batch=False), Share(option("small", 4), 1)).options
    assert {(o.variant, o.batch) for o in kept} == {("small", 4), ("large", 4)}
    kept = left(Levers(batch=False), Share(option("small", 4), 1, 0.5), Share(option("large", 8), 1, 0.5)).options
    assert {(o.variant, o.batch) for o in kept} == {("small", 4), ("large", 8)}


def test_without_vertical_the_same_cores_and_on_another_device_the_least():
    kept = left(Levers(vertical=False), Share(option("small", 1, 2), 1)).options
    assert {(o.device, o.units) for o in kept} == {("cpu", 2), ("gpu", 1)}


def test_without_devices_only_the_kind_that_runs():
    assert {o.device for o in left(Levers(devices=False), Share(option("small", device="gpu"), 1)).options} == {"gpu"}


def test_without_horizontal_the_replicas_stay_and_one_variant_takes_them_all():
    stage = left(Levers(horizontal=False), Share(option("small"), 2, 0.5), Share(option("large"), 3, 0.5), step=0.1)
    assert (stage.least, stage.most, stage.share_step) == (5, 5, None)


def test_in_place_keeps_variant_device_and_replicas():
    stage = left(IN_PLACE, Share(option("small", 4, 1), 3))
    assert {(o.variant, o.device) for o in stage.options} == {("small", "cpu")}
    assert {(o.batch, o.units) for o in stage.options} == set(product((1, 4, 8), (1, 2)))
    assert (stage.least, stage.most) == (3, 3)


@given(allowed=st.lists(st.booleans(), min_size=len(NAMES), max_size=len(NAMES)), picked=st.sets(st.sampled_from(ALL), min_size=1, max_size=3))
def test_what_runs_is_always_left_and_nothing_new_appears(allowed, picked):
    running = tuple(Share(o, 1, 1 / len(picked)) for o in sorted(picked, key=ALL.index))
    kept = left(Levers(*allowed), *running).options
    assert picked <= set(kept) <= set(ALL)


@given(allowed=st.lists(st.booleans(), min_size=len(NAMES), max_size=len(NAMES)), more=st.sampled_from(NAMES), picked=st.sampled_from(ALL))
def test_one_lever_more_never_takes_an_option_away(allowed, more, picked):
    few = Levers(*allowed)
    assert set(left(few, Share(picked, 1)).options) <= set(left(replace(few, **{more: True}), Share(picked, 1)).options)


def test_a_running_option_that_the_profile_no_longer_has_is_kept():
    old = option("old", 3)
    assert old in left(Levers(variants=False), Share(old, 1)).options


def test_rates_that_depend_on_the_variant_upstream_become_those_of_what_runs():
    graph = problem(StageModel("find", ALL), StageModel("look", ALL, after=("find",), rates=(RateTerm("find", 2.0, {"small": 1.0, "large": 3.0}),)))
    halves = {"find": (Share(option("small"), 1, 0.75), Share(option("large"), 1, 0.25))}
    assert unconditioned(graph, halves).stages[1].rates == (RateTerm("find", 3.0),)  # 2 * (0.75 * 1 + 0.25 * 3)
    assert unconditioned(graph, {}).stages[1].rates == (RateTerm("find", 4.0),)  # 2 * mean(1, 3)


def test_a_variant_that_the_term_does_not_name_has_factor_one():
    graph = problem(StageModel("find", ALL), StageModel("look", ALL, after=("find",), rates=(RateTerm("find", 1.0, {"large": 3.0}),)))
    assert unconditioned(graph, {"find": (Share(option("small"), 1),)}).stages[1].rates[0].factor == pytest.approx(1.0)
