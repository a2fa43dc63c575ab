import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.telemetry import Lane, Outcome, Quantiles, Released, StageWindow, WrongRecord, parse
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


def test_rows_that_wait_and_will_be_late_are_violations_once():
    first, last = telemetry(0, 1000.0, answered=50, late=0, aside=10), telemetry(1, 1001.0, answered=60, late=6, aside=40)
    assert last.violation_share == 0.46  # (6 + 40) / (60 + 40)
    assert window(first, last).violation_share(1001.0) == pytest.approx(46 / 150)
    assert parse(message()).aside == 0  # of a service that does not tell


def test_lanes_are_read_where_they_are_there():
    one = {"variant": "cnn", "version": "", "batch": 8, "cores": 0.5, "replicas": 2, "share": 0.75, "state": "loading", "ready": 1, "answered": 3}
    seen = parse(message(lanes=[one]))
    assert seen.lanes == (Lane("cnn", None, 8, 0.5, 2, 0.75, "loading", 1),)
    assert seen.lanes[0].is_wanted
    assert parse(message()).lanes == ()
    for wrong in ({"lanes": {}}, {"lanes": [{**one, "share": -1}]}, {"lanes": [3]}):
        with pytest.raises(WrongRecord):
            parse(message(**wrong))


def test_figures_of_one_record():
    seen = telemetry(service_time={"fixed_ms": 2.0, "per_row_ms": 0.5}, batches=50, batch_rows=400, batch=8, replicas=2, late=5, expired=3, failed=2)
    assert seen.capacity_rps == pytest.approx(8 / 0.006 * 2)
    assert seen.busy_share == pytest.approx((50 * 2 + 400 * 0.5) / 2000)
    assert seen.violation_share == 10 / 105
    unknown = telemetry(service_time=None, answered=0)
    assert (unknown.capacity_rps, unknown.busy_share, unknown.violation_share) == (None, None, 0.0)


def test_reasons_of_batches_and_throughput_by_concurrency():
    seen = window(
        telemetry(1, 1001.0, released={"full": 1, "deadline": 2, "idle": 3, "flush": 0}, batches=6, batch_rows=30, in_flight=3, answered=100),
        telemetry(2, 1002.0, released={"full": 4, "deadline": 0, "idle": 0, "flush": 0}, batches=4, batch_rows=32, in_flight=5, queued=3, answered=150),
        telemetry(3, 1003.0, batches=0, batch_rows=0, released={"full": 0, "deadline": 0, "idle": 0, "flush": 0}, in_flight=4, answered=120))
    assert seen.released(1003.0) == Released(5, 2, 3, 0)
    assert seen.mean_batch_rows(1003.0) == 6.2
    assert seen.by_concurrency(1003.0) == {4: 110.0, 8: 150.0}  # 3 and 4 rows; 5 + 3 rows
    assert seen.violation_share(1003.0) == 0.0


SECONDS = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 300), st.integers(0, 40)), min_size=1, max_size=20, unique_by=lambda one: one[0])


@given(SECONDS, st.randoms(use_true_random=False))
def test_a_window_says_the_same_in_whatever_order_its_records_come(seconds, chance):
    records = [telemetry(second, 1000.0 + second, arrivals=arrivals, late=late, answered=100) for second, arrivals, late in sorted(seconds)]
    mixed = list(records)
    chance.shuffle(mixed)
    one, other = StageWindow(15.0), StageWindow(15.0)
    for each in records:
        one.observe(each, 1015.0)
    for each in mixed:
        other.observe(each, 1015.0)
    assert [each.at_ms for each in other.records(1015.0)] == [each.at_ms for each in records]
    for figure in ("arrival_rps", "peak_arrival_rps", "violation_share", "by_concurrency", "released", "worst_total_ms"):
        assert getattr(one, figure)(1015.0) == getattr(other, figure)(1015.0)


@given(st.lists(st.integers(0, 12), max_size=60))
def test_every_record_is_counted_once_by_what_became_of_it(numbers):
    seen = StageWindow(15.0)
    for number in numbers:
        seen.observe(telemetry(number, 1000.0 + number), 1012.0)
    assert sum(seen.counts.values()) == len(numbers)
    assert seen.counts[Outcome.ACCEPTED] + seen.counts[Outcome.LATE] == len(set(numbers)) == len(seen.records(1012.0))
    assert seen.counts[Outcome.REPEATED] == len(numbers) - len(set(numbers))


def test_what_rows_had_used_of_their_slo_on_the_way_is_told_by_records_in_which_none_waited():
    used = [{"p50": 10.0, "p95": p95, "p99": 90.0} for p95 in (20.0, 60.0, 40.0, 130.0)]
    waits = {"0": {"received": 100, "in_flight": 9, "waiting": 1}}
    seen = window(telemetry(0, 1000.0, spent_ms=used[0]), telemetry(1, 1001.0, spent_ms=used[1], proxies=waits), telemetry(2, 1002.0, spent_ms=used[2]),
                  telemetry(3, 1003.0, spent_ms=used[3]), telemetry(4, 1004.0, spent_ms=None), telemetry(5, 1005.0))
    assert seen.spent_ms(1005.0) == 30.0  # of 20 and 40; 130 of 100 ms: they were late before they came
    assert seen.spent_ms(1006.5) == 40.0
    assert seen.spent_ms(1009.0) is None
