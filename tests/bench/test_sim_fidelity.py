"""What the comparison of simulator and running system is made of."""

from __future__ import annotations

import itertools
from math import inf

import numpy as np
import pytest
import yaml

from autoscaler.graph.reader import parse_pipeline
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile
from bench.contenders.shifted import shifted
from bench.sim_fidelity import POINTS, SHIPPED, STAGE, Compared, Figures, PathDelay, capacity_rows_s, in_place, in_service_ms, reduced


def compared(p50: float = 1.0, p95: float = 1.0, violation: tuple[float, float] = (0.0, 0.0)) -> Compared:
    return Compared(Figures(10.0, 40.0, violation[0]), Figures(10.0 * p50, 40.0 * p95, violation[1]))


@pytest.mark.parametrize(("one", "passes"), [
    (compared(), True),
    (compared(p50=1.149), True),
    (compared(p50=1.151), False),
    (compared(p95=0.851), True),
    (compared(p95=0.849), False),
    (compared(violation=(0.04, 0.0499)), True),
    (compared(violation=(0.04, 0.051)), False),
    (compared(violation=(0.30, 0.355)), True),
    (compared(violation=(0.30, 0.365)), False),
])
def test_a_point_passes_within_the_stated_limits(one: Compared, passes: bool):
    assert one.passes is passes


def test_a_real_percentile_that_was_never_reached_fails_unless_the_simulated_one_was_not_either():
    never = Figures(10.0, inf, 0.1)
    assert Compared(never, never).passes
    assert not Compared(never, Figures(10.0, 500.0, 0.1)).passes
    assert not Compared(Figures(10.0, 500.0, 0.1), never).passes


def test_time_in_the_service_is_queue_and_compute():
    assert in_service_ms(b"name=classify;variant=ensemble;version=1;queue_us=1500;compute_us=250") == 1.75


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_send_times_ascend_and_carry_the_loads(point):
    times = point.times_s(1000.0, 20.0, 1)
    assert all(before <= after for before, after in itertools.pairwise(times))
    assert times[0] >= 0
    assert times[-1] < 20.0
    wanted = sum(load * share for load, share in point.loads) * 1000 * 20
    assert len(times) == pytest.approx(wanted, rel=0.1)
    assert times == point.times_s(1000.0, 20.0, 1)


def test_the_capacity_is_that_of_the_largest_batches_on_one_core():
    points = tuple(Point(batch, cores, 1.0, 1.0, 1.0, rate * cores) for batch, rate in ((1, 100.0), (2, 110.0), (4, 105.0)) for cores in (1, 2))
    assert capacity_rows_s(Profile("digits", (StageProfile(STAGE, (VariantProfile("ensemble", "cpu", points),)),))) == 105.0


def test_times_in_place_are_those_that_the_service_learned():
    points = (Point(1, 1, 2.0, 2.0, 4.0, 500.0), Point(4, 1, 5.0, 5.0, 10.0, 800.0), Point(4, 2, 3.0, 3.0, 6.0, 1200.0))
    found = in_place(Profile("digits", (StageProfile(STAGE, (VariantProfile("ensemble", "cpu", points),)),)), [(2.0, 1.0), (4.0, 3.0)])
    one, four, other = found.stages[0].variants[0].points
    assert (one.mean_ms, one.p99_ms, one.rows_s) == pytest.approx((5.0, 10.0, 200.0))
    assert (four.mean_ms, four.p99_ms, four.rows_s) == pytest.approx((11.0, 22.0, 800 * 5 / 11))
    assert other == points[2]
    with pytest.raises(ValueError, match="longer"):
        in_place(found, [])


def test_shifted_copies_hold_what_stays_inside():
    image = np.zeros((8, 8), dtype=np.uint8)
    image[0, 0], image[4, 5] = 7, 9
    other = np.full((8, 8), 3, dtype=np.uint8)
    copies = shifted(np.stack([image, other]).reshape(2, 64)).reshape(5, 5, 2, 8, 8)
    assert (copies[2, 2] == np.stack([image, other])).all()
    assert copies[1, 2, 0, 5, 5] == 9  # one row down
    assert copies[2, 0, 0, 4, 7] == 9  # two columns to the right
    assert copies[3, 2, 0].sum() == 9  # the corner is out
    assert copies[0, 0, 1].sum() == 3 * 36


def test_delays_are_drawn_from_those_measured_and_the_same_with_a_seed():
    seconds = np.array([0.001, 0.002, 0.008])
    drawn = PathDelay(seconds, 3).delay_s(np.zeros(1000))
    assert set(drawn.tolist()) == set(seconds.tolist())
    assert (drawn == PathDelay(seconds, 3).delay_s(np.zeros(1000))).all()


def test_the_reduced_pipeline_is_one_that_reads():
    pipeline = parse_pipeline(yaml.safe_dump(reduced(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")))), "digits.yaml")
    stage = pipeline.stage(STAGE)
    assert [variant.name for variant in stage.variants] == [stage.variant]
    assert (stage.replicas.initial, stage.replicas.max, stage.replicas.spares) == (1, 2, 0)
