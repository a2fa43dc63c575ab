import math
from dataclasses import replace

import numpy as np
import pytest

from operators.actions import Answer, Result, Setting
from operators.lanes import Lanes, LaneSetting
from operators.metrics import buckets_of
from operators.queue import runs_of
from operators.stage import Stage
from operators.telemetry import VERSIONS_KEPT, Histogram, StageTelemetry, quantiles
from tests.operators.builders import FIRST, SECOND


def test_quantiles_are_right_to_five_per_cent():
    histogram = Histogram()
    for value in range(1, 1001):
        histogram.add(float(value), 1)
    assert quantiles(histogram.counts) == pytest.approx({"p50": 500, "p95": 950, "p99": 990}, rel=0.06)


def test_nothing_has_no_quantiles():
    assert quantiles(np.zeros(400, np.int64)) is None


def test_extremes_stay_in_the_histogram():
    histogram = Histogram()
    for value in (0.0, 1e-9, 1e12):
        histogram.add(value, 1)
    assert histogram.counts.sum() == 3


def test_a_record_is_of_its_interval():
    telemetry, stage = StageTelemetry("p", "s", 100.0), Lanes([LaneSetting(Setting(FIRST))], Stage)
    telemetry.arrived(5, 0.1)
    assert telemetry.record(stage, 10.0, 1000)["arrivals"] == 5
    telemetry.arrived(2, 0.1)
    record = telemetry.record(stage, 11.5, 2500)
    assert (record["arrivals"], record["interval_s"], record["sequence"], record["queue_ms"]) == (2, 1.5, 1, None)


def test_a_record_says_what_rows_had_used_of_their_slo_when_they_arrived():
    telemetry, stage = StageTelemetry("p", "s", 100.0), Lanes([LaneSetting(Setting(FIRST))], Stage)
    telemetry.arrived(90, 0.080)
    telemetry.arrived(10, -0.050)  # past their deadline
    telemetry.arrived(1, math.inf)
    assert telemetry.record(stage, 10.0, 1000)["spent_ms"] == pytest.approx({"p50": 20, "p95": 150, "p99": 150}, rel=0.06)
    assert telemetry.record(stage, 11.0, 2000)["spent_ms"] is None


def test_proxies_that_fall_silent_are_forgotten():
    telemetry, stage = StageTelemetry("p", "s", 100.0), Lanes([LaneSetting(Setting(FIRST))], Stage)
    telemetry.proxy("s/0", {"received": 5}, now=0.0)
    assert telemetry.record(stage, 5.0, 0)["proxies"] == {"s/0": {"received": 5}}
    assert telemetry.record(stage, 20.0, 0)["proxies"] == {}


def test_buckets_are_cumulative():
    histogram = Histogram()
    histogram.add(1.5, 10)  # ms
    histogram.add(40.0, 5)
    buckets = dict(buckets_of(histogram))
    assert (buckets["0.001"], buckets["0.002"], buckets["0.05"], buckets["+Inf"]) == (0, 10, 15, 15)


def test_versions_that_no_longer_serve_are_counted_together():
    telemetry = StageTelemetry("p", "s", 100.0)
    for number in range(VERSIONS_KEPT + 3):
        for version in ("stays", str(number)):
            asked = replace(FIRST, version=version)
            (run,) = runs_of("a", np.full(2, 9.0), 0.0)
            telemetry.answer(Answer(run, np.zeros(2, np.uint8), 0, 0, 0.001, [], asked, Result(0.002)), float(number))
    assert len(telemetry.ledgers) == VERSIONS_KEPT
    assert telemetry.ledger(replace(FIRST, version="stays")).tally.answered == 2 * (VERSIONS_KEPT + 3)
    assert telemetry.total_ms.counts.sum() == telemetry.tally.answered == 4 * (VERSIONS_KEPT + 3)


def test_a_record_tells_lanes_apart():
    telemetry, lanes = StageTelemetry("p", "s", 100.0), Lanes([LaneSetting(Setting(FIRST), 0.75), LaneSetting(Setting(SECOND), 0.25)], Stage)
    (run,) = runs_of("a", np.full(2, 9.0), 0.0)
    telemetry.answer(Answer(run, np.zeros(2, np.uint8), 0, 0, 0.001, [], SECOND, Result(0.002)), 1.0)
    first, second = telemetry.record(lanes, 1.0, 1000)["lanes"]
    assert (first["variant"], first["share"], first["answered"], first["state"]) == ("first", 0.75, 0, "loading")
    assert (second["variant"], second["share"], second["answered"]) == ("second", 0.25, 2)
    assert [lane["answered"] for lane in telemetry.record(lanes, 2.0, 2000)["lanes"]] == [0, 0]
