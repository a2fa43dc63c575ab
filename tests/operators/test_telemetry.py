import numpy as np
import pytest

from operators.actions import Setting
from operators.lanes import Lanes, LaneSetting
from operators.metrics import buckets_of
from operators.stage import Stage
from operators.telemetry import Histogram, StageTelemetry, quantiles
from tests.operators.builders import FIRST


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
    telemetry.arrived(5)
    assert telemetry.record(stage, 10.0, 1000)["arrivals"] == 5
    telemetry.arrived(2)
    record = telemetry.record(stage, 11.5, 2500)
    assert (record["arrivals"], record["interval_s"], record["sequence"], record["queue_ms"]) == (2, 1.5, 1, None)


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
