"""The shapes and the windows of the ConScale study, and the curve that they rest on."""

import asyncio
from dataclasses import replace

import pytest

from bench.repro.conscale import LOW_RPS, MOST, SHAPES, STAGE, SWING_RPS, rates, setting_of, threshold, tuned, with_windows
from bench.repro.conscale_curve import STORED, measure, stored
from bench.repro.level import HEADLINE
from operators.hosted import WINDOW_ROWS
from simulator.simulation import simulate


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_stays_between_the_low_rate_and_the_whole_swing(name):
    found = rates(SHAPES[name], 600)
    assert min(found) >= LOW_RPS
    assert LOW_RPS + 0.9 * SWING_RPS * (0.5 if name == "large variations" else 1) <= max(found) <= LOW_RPS + SWING_RPS
    assert len({round(rate, 6) for rate in found}) > 1


def test_the_stored_curve_rises_with_replicas_and_so_do_the_windows():
    assert STORED.is_file()
    ranges = stored()
    assert sorted(ranges) == list(range(1, MOST + 1))
    assert all(known.is_known for known in ranges.values())
    windows = [tuned(STAGE, replicas) for replicas in range(1, MOST + 1)]
    assert windows == sorted(windows)
    assert windows[-1] < WINDOW_ROWS


def test_a_window_too_small_for_its_replicas_starves_them_and_the_retuned_one_does_not():
    """Two replicas carry 889 rows/s with batches of 32; at one row in flight each they carry 200."""
    setting = replace(setting_of((600.0,) * 20), start=600.0)

    def late(rows):
        scenario, control = with_windows(setting.make(threshold), rows)(HEADLINE, 1)
        return simulate(scenario, replace(control, policy=None), 1, records=False).tally.outcomes[0]

    assert late(lambda station, replicas: 2) < 0.6 * late(tuned)


def test_the_curve_of_one_replica_is_measured_as_it_is_stored():
    found = asyncio.run(measure(most=1, steps=(8, 128), passes=1))
    assert [rows for rows, _ in found["points"]["1"]] == [8, 128]
    (few, many) = (rate for _, rate in found["points"]["1"])
    assert 0 < few < many < 500  # 32 rows in 72 ms
