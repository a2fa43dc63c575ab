import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.telemetry import Outcome, Quantiles, StageWindow, WrongRecord, parse
from tests.autoscaler.builders import message, record, telemetry, window


def test_a_record_is_read_whole():
    seen = parse(message(queued=3, proxies={"0": {"received": 9, "in_flight": 2, "waiting": 4}}))
    assert (seen.stage, seen.at_s, seen.setting.batch, seen.service_time.batch_ms(8)) == ("classify", 1000.0, 8, 6.0)  # 2 + 8 * 0.5
    assert seen.backlog_rows == 7  # 3 queued + 4 waiting


def test_what_is_not_known_yet_is_none():
    seen = parse(message(service_time=None, queue_ms=None, total_ms={"p50": None, "p95": None, "p99": None}))
    assert (seen.service_time, seen.queue_ms, seen.total_ms) == (None, None, None)
    assert parse(message(service_time={"fixed_ms": None, "per_row_ms": None})).service_time is None


def test_fields_of_a_later_version_are_ignored():
    assert parse(message(surprise=1)).arrivals == 100


@pytest.mark.parametrize(("value", "reason"), [
    (None, "malformed"), (b"", "malformed"), (b"\xff\xfe", "malformed"), (b"[1]", "malformed"), (b"{", "malformed"), (b"[" * 100_000, "malformed"),
    (b"{}", "missing"),
    (message(arrivals=None), "type"), (message(arrivals="7"), "type"), (message(arrivals=1.5), "type"), (message(arrivals=True), "type"),
    (message(stage=3), "type"), (message(setting=[]), "type"), (message(proxies={"0": 1}), "type"), (message(slo_ms="100 ms"), "type"),
    (message(arrivals=-1), "range"), (message(stage=""), "range"), (message(slo_ms=0), "range"), (message(batch=0), "range"),
    (message(interval_s=float("inf")), "malformed"), (message(interval_s=float("nan")), "malformed"), (message(sequence=2**63), "range"),
    (json.dumps(record()).replace('"interval_s": 1.0', '"interval_s": 1e999').encode(), "range"),
])
def test_a_wrong_record_says_why(value, reason):
    with pytest.raises(WrongRecord) as error:
        parse(value)
    assert error.value.reason == reason


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(
    st.sampled_from(["pipeline", "setting", "proxies", "x"]), inner)).map(lambda value: json.dumps(value).encode()))
def test_no_message_is_fatal(value):
    with pytest.raises(WrongRecord):
        parse(value)


@given(st.sampled_from(sorted(record())), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()))
def test_a_field_of_any_value_is_taken_or_refused(key, value):
    with contextlib.suppress(WrongRecord):
        parse(json.dumps(record(**{key: value})).encode())


def test_repeated_late_missing_and_old_records_are_counted():
    seen = StageWindow(15.0)
    arrived = [(1, 1001.0), (2, 1002.0), (2, 1002.0), (6, 1006.0), (4, 1004.0), (4, 1004.0), (7, 900.0), (8, 1020.0)]
    outcomes = [seen.observe(telemetry(sequence, at_s), now_s=1006.5) for sequence, at_s in arrived]
    assert [outcome.value for outcome in outcomes] == ["accepted", "accepted", "repeated", "accepted", "late", "repeated", "expired", "future"]
    assert seen.missing == 3  # 3, 4 and 5 when 6 came
    assert seen.counts[Outcome.REPEATED] == 2
    assert [each.sequence for each in seen.records(1006.5)] == [1, 2, 4, 6]


def test_a_service_started_again_counts_from_the_beginning():
    seen = window(telemetry(50, 1000.0), telemetry(0, 1003.0), telemetry(1, 1004.0))
    assert (seen.missing, seen.counts[Outcome.ACCEPTED]) == (0, 3)


def test_rates_and_quantiles_are_of_the_window_only():
    quantiles = {"p50": 9.0, "p95": 9.5, "p99": 10.0}
    seen = window(telemetry(0, 1000.0, arrivals=9000), telemetry(1, 1010.0, arrivals=100, total_ms=quantiles),
                  telemetry(2, 1012.0, arrivals=500, interval_s=2.0), length_s=5.0)
    assert seen.arrival_rps(1012.0) == 200.0  # (100 + 500) / 3 s
    assert seen.peak_arrival_rps(1012.0) == 250.0  # 500 / 2 s
    assert seen.worst_total_ms(1012.0) == Quantiles(9.0, 9.5, 10.0)
    assert seen.arrival_rps(2000.0) is None
    assert seen.worst_total_ms(2000.0) is None


def test_the_first_record_of_a_service_has_no_interval():
    assert window(telemetry(0, 1000.0, interval_s=0.0, arrivals=0)).arrival_rps(1000.0) == 0.0


def test_staleness_is_the_age_of_the_newest():
    assert StageWindow(15.0).staleness_s(5.0) is None
    assert window(telemetry(0, 1000.0)).staleness_s(1007.5) == 7.5
    assert window(telemetry(0, 1000.0)).staleness_s(999.5) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(995, 1012)), max_size=30))
def test_a_window_is_in_order_and_each_record_has_one_outcome(arrived):
    seen = StageWindow(8.0)
    for sequence, at_s in arrived:
        seen.observe(telemetry(sequence, float(at_s)), now_s=1005.0)
    taken = [each.at_ms for each in seen.records(1005.0)]
    assert taken == sorted(taken)
    assert sum(seen.counts.values()) == len(arrived)
    assert len(taken) == seen.counts[Outcome.ACCEPTED] + seen.counts[Outcome.LATE]
