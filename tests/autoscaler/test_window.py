"""The scatter of rows in flight against rows answered, and the window that follows from it."""

import asyncio
import itertools
import json
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.control.records import StageOutcome, lines
from autoscaler.control.scatter import KEPT_S, LEAST, RATIO, Configuration, Range, Scatter, Slice, fitted, unimodal
from autoscaler.control.window import HEADROOM, MOST, TRANSIT_S, Basis, InFlight, Window, window
from autoscaler.metrics import SidecarMetrics
from autoscaler.windows import RETRY_S, Windows
from tests.autoscaler.builders import pipeline, stage, telemetry
from tests.autoscaler.world import MemoryService, world

LANES = (("cnn", 1, 8),)
VALUES = st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 60)), min_size=1, max_size=12)


def slices(curve, rows, pressed=True, each=LEAST):
    """So many of each number of rows, at what the curve answers."""
    return [Slice(q, curve(q), pressed) for q in rows for _ in range(each)]


def saturating(capacity, knee):
    """Rows/s: in proportion up to the knee, then as many."""
    return lambda q: capacity * min(1.0, q / knee)


def known(lower, best_rps=1000.0, **fields):
    """A range of which both ends were seen."""
    return Range(**{"lower": lower, "upper": 4.0 * lower, "seen": 4.0 * lower, "best_rps": best_rps, "rises": True, "slices": 50, "pressed": 20, **fields})


# the fit


def test_what_violates_the_three_stages_is_pooled():
    assert unimodal([1, 3, 2, 5, 4], [1, 1, 1, 1, 1]) == [1, 2.5, 2.5, 5, 4]  # 3 and 2 change places: their mean; 5 and 4 may fall
    assert unimodal([4, 1, 4], [1, 2, 1]) == pytest.approx([4, 2, 2])  # (2 * 1 + 4) / 3; as far off as [2, 2, 4]


@given(VALUES)
def test_the_fit_is_unimodal_keeps_the_weight_and_changes_nothing_that_is_unimodal(points):
    values, weights = [value for value, _ in points], [weight for _, weight in points]
    found = unimodal(values, weights)
    rises = [after - before for before, after in itertools.pairwise(found)]
    fell = next((place for place, step in enumerate(rises) if step < -1e-9), len(rises))
    assert all(step <= 1e-9 for step in rises[fell:])
    assert sum(w * x for w, x in zip(weights, found, strict=True)) == pytest.approx(sum(w * x for w, x in zip(weights, values, strict=True)), abs=1e-6)
    assert unimodal(found, weights) == pytest.approx(found)


@given(VALUES, st.data())
def test_no_unimodal_values_are_nearer(points, data):
    values, weights = [value for value, _ in points], [weight for _, weight in points]
    mode = data.draw(st.integers(0, len(values)))
    other = sorted(data.draw(st.lists(st.floats(0, 1000), min_size=mode, max_size=mode)))
    other += sorted(data.draw(st.lists(st.floats(0, 1000), min_size=len(values) - mode, max_size=len(values) - mode)), reverse=True)

    def error(fit):
        return sum(w * (x - y) ** 2 for w, x, y in zip(weights, values, fit, strict=True))

    assert error(unimodal(values, weights)) <= error(other) + 1e-6


# the range


def test_the_stable_stage_begins_where_more_rows_in_flight_bring_no_more():
    found = fitted(slices(saturating(800, 64), (8, 16, 32, 64, 128, 256)))
    assert (found.lower, found.upper, found.seen, found.best_rps) == pytest.approx((0.9 * 64, 256, 256, 800))
    assert found.is_known
    assert not found.harms


def test_where_many_rows_in_flight_answer_fewer_the_range_ends():
    found = fitted(slices(lambda q: 800 if 60 < q < 300 else 400, (16, 64, 256, 1024)))
    assert (found.lower, found.upper, found.harms) == (16 * 0.9 * 2, 256, True)  # in proportion to 16 rows, which answer half


def test_a_light_load_s_own_rate_is_no_plateau():
    found = fitted(slices(lambda q: 100 if q > 2 else 50, (2, 4, 8, 16, 32), pressed=False))
    assert found.is_whole
    assert not found.is_stable


def test_what_rises_to_the_last_bin_may_rise_on_and_what_never_rises_may_begin_sooner():
    assert not fitted(slices(saturating(800, 64), (8, 16, 32, 64))).is_whole
    flat = fitted(slices(saturating(800, 64), (128, 256, 512)))
    assert flat.is_stable
    assert not flat.is_known


def test_few_slices_and_idle_ones_say_nothing():
    assert fitted(slices(saturating(800, 64), (64, 128), each=LEAST - 1)) is None
    assert fitted(slices(lambda q: 0.0, (0.0, 0.5))) is None


@given(st.floats(10, 10_000), st.floats(20, 2_000), st.floats(0.5, 20))
def test_the_range_scales_with_rows_and_with_rates(capacity, knee, factor):
    rows = [knee * RATIO ** step for step in range(-6, 7)]
    one = fitted(slices(saturating(capacity, knee), rows))
    assert one.lower == pytest.approx(0.9 * knee)
    faster = fitted(slices(saturating(capacity * factor, knee), rows))
    assert (faster.lower, faster.best_rps) == pytest.approx((one.lower, one.best_rps * factor))


def test_slices_are_kept_by_configuration_and_grow_old():
    scatter, one, two = Scatter(), Configuration(LANES, 1), Configuration(LANES, 2)
    scatter.add(one, slices(saturating(100, 16), (8, 16, 32)), 1000.0)
    scatter.add(two, slices(saturating(200, 32), (16, 32, 64)), 1000.0 + KEPT_S / 2)
    scatter.add(Configuration((("mlp", 1, 8),), 1), slices(saturating(900, 4), (2, 4, 8)), 1000.0)
    assert {replicas: found.lower for replicas, found in scatter.ranges(LANES, 1001.0).items()} == pytest.approx({1: 0.9 * 16, 2: 0.9 * 32})
    assert set(scatter.ranges(LANES, 1001.0 + KEPT_S)) == {2}


# the window


def test_twice_where_the_plateau_begins_and_what_is_on_its_way():
    found = window(InFlight(2, 32, proxies=2, window=8192), {2: known(200.0, 2000.0)})
    assert (found.rows, found.basis) == (ceil((2 * 200 + 2000 * 0.010) / 2), Basis.MEASURED)


def test_replicas_of_which_nothing_is_known_are_scaled_from_those_next_to_them():
    ranges = {1: known(100.0), 4: known(360.0)}
    assert window(InFlight(2, 8, 1, 8192), ranges) == Window(2 * 180, Basis.SCALED)  # 1 and 4 are as near: of 4, 360 / 2
    assert window(InFlight(8, 8, 1, 8192), ranges) == Window(2 * 720, Basis.SCALED)


def test_nothing_known_and_nothing_used_up_leaves_the_window():
    assert window(InFlight(4, 64, 2, 8192), {}) == Window(8192, Basis.KEPT)
    assert window(InFlight(0, 64, 2, 8192, used=1.0), {}) == Window(8192, Basis.KEPT)


def test_what_is_used_up_begins_at_a_guess_and_grows_while_more_rows_answer_more():
    assert window(InFlight(2, 32, 1, 8192, used=1.0), {}) == Window(2 * 2 * 2 * 32, Basis.GUESSED)
    rising = fitted(slices(saturating(800, 500), (64, 128, 256)))
    assert window(InFlight(2, 32, 1, 256, used=1.0), {2: rising}) == Window(512, Basis.RAISED, rising)
    assert window(InFlight(2, 32, 1, 256, used=0.5), {2: rising}).basis is Basis.KEPT


def test_where_more_rows_answer_fewer_it_stays_below():
    found = window(InFlight(2, 32, 1, 8192), {2: known(200.0, upper=300.0)})
    assert (found.rows, found.basis) == (300, Basis.MEASURED)


def test_a_window_that_is_near_is_left():
    assert window(InFlight(2, 32, 1, 500), {2: known(200.0, 2000.0)}).basis is Basis.KEPT


RANGES = st.dictionaries(st.integers(1, 16), st.builds(
    lambda lower, more, rises, pressed: known(lower, rises=rises, pressed=pressed, seen=lower * more, upper=lower * more),
    st.floats(1, 20_000), st.floats(1, 8), st.booleans(), st.integers(0, 20)), max_size=4)
NOW = st.builds(InFlight, st.integers(1, 16), st.integers(1, 512), st.integers(1, 8), st.integers(1, MOST), st.floats(0, 1))


@given(NOW, RANGES)
def test_it_never_holds_less_than_a_full_batch_for_each_replica_nor_more_than_the_service_takes(now, ranges):
    found = window(now, ranges)
    if found.basis is not Basis.KEPT:
        assert min(now.replicas * now.batch, MOST) <= found.rows * now.proxies < MOST + now.proxies
        assert found.rows != now.window


@given(NOW, RANGES)
def test_chosen_again_it_stays_unless_it_is_used_up(now, ranges):
    found = window(now, ranges)
    again = InFlight(now.replicas, now.batch, now.proxies, found.rows)
    if not now.is_used_up:
        assert window(again, ranges).rows == found.rows


@given(st.integers(1, 12), st.integers(1, 12), st.floats(8, 2000))
def test_more_replicas_have_no_fewer_rows(few, more, lower):
    few, more = sorted((few, more))
    ranges = {20: known(lower)}
    assert window(InFlight(few, 8, 1, 1_000_000), ranges).rows <= window(InFlight(more, 8, 1, 1_000_000), ranges).rows


@settings(max_examples=25)
@given(st.floats(50, 20_000), st.floats(0.02, 0.5), st.integers(1, 4), st.sampled_from([1, 32, 500, 8192]), st.integers(1, 3))
def test_a_stage_under_full_load_ends_at_what_it_can_do_with_a_window_not_much_larger(capacity, round_trip_s, replicas, first, proxies):
    """Each step is a second of slices at whatever the window lets in."""
    curve = saturating(capacity, knee := capacity * round_trip_s)
    batch = max(1, int(knee / 4 / replicas))
    scatter, rows = Scatter(), first
    for second in range(16):
        inside = rows * proxies * 0.9
        scatter.add(Configuration(LANES, replicas), slices(curve, (inside,), each=10), 1000.0 + second)
        rows = window(InFlight(replicas, batch, proxies, rows, used=1.0), scatter.ranges(LANES, 1000.0 + second)).rows
    assert curve(rows * proxies) >= min(0.95 * capacity, curve(MOST))
    assert rows * proxies <= 4 * HEADROOM * max(knee, replicas * batch) + capacity * TRANSIT_S + 8 * proxies


# the loop's part


class Kept:
    """Notes of what became of changes."""

    def __init__(self):
        self.outcomes = []

    def __call__(self, name, outcome: StageOutcome):
        self.outcomes.append((name, dict(outcome.data()["actions"]), outcome.outcome))


def seen(sequence, curve=saturating(800, 64), rows=(16, 32, 64, 128, 256), replicas=1, rows_window=8192, waiting=0, proxies=2, **fields):
    """A record whose slices lie on the curve; busy replicas."""
    setting = {"variant": "cnn", "version": "1", "batch": 8, "cores": 1, "replicas": replicas, "window": rows_window}
    scatter = [{"rows": q, "rate": curve(q), "ready": replicas} for q in rows for _ in range(LEAST)]
    counters = {str(number): {"received": 9, "in_flight": rows_window + waiting, "waiting": waiting} for number in range(proxies)}
    return telemetry(sequence, 1000.0 + sequence, setting=setting, replicas_ready=replicas, scatter=scatter, proxies=counters,
                     batches=200, batch_rows=1600, **fields)  # full ones; 200 * 2 ms + 1600 * 0.5 ms


def following(service=None, described=None):
    behind, notes = service or MemoryService(), Kept()
    return Windows(described or pipeline(), behind, SidecarMetrics("digits"), notes), behind, notes


def step(windows, record, now_s, lanes=(), may_act=True):
    windows.take(record)
    asyncio.run(windows.follow({"classify": lanes}, may_act, now_s))


def test_the_service_is_told_what_the_scatter_says_once():
    windows, service, notes = following()
    step(windows, seen(1), 1001.1)
    assert service.calls == [{"window": 62}]  # 2 * 0.9 * 64 rows, and 800 rows/s on their way for 10 ms, of two proxies
    assert notes.outcomes == [("classify", {"window": 62}, "confirmed")]
    step(windows, seen(2, rows_window=62), 1002.1)
    assert len(service.calls) == 1
    assert windows.chosen["classify"].basis is Basis.KEPT


def test_replicas_that_are_ordered_have_their_window_before_they_are_ready():
    windows, service, _ = following()
    step(windows, seen(1), 1001.1)
    asyncio.run(service.set("classify", {"replicas": 4}))
    asyncio.run(windows.follow({"classify": asyncio.run(service.lanes("classify"))}, True, 1001.2))
    assert service.calls[-1] == {"replicas": 4}  # what was just set may not be in telemetry yet
    step(windows, seen(2, rows_window=62), 1002.1, asyncio.run(service.lanes("classify")))
    assert service.calls[-1] == {"window": ceil(2 * 4 * 0.9 * 64 / 2)}


def test_advice_chooses_and_sets_nothing():
    windows, service, notes = following()
    step(windows, seen(1), 1001.1, may_act=False)
    assert windows.chosen["classify"].rows == 62
    assert (service.calls, notes.outcomes) == ([], [])


def test_a_failure_is_noted_and_tried_again_later():
    windows, service, notes = following(MemoryService(refuses=True))
    step(windows, seen(1), 1001.1)
    assert notes.outcomes[0][2].startswith("failed: PATCH")
    service.refuses = False
    step(windows, seen(3), 1003.1)
    assert service.calls == []
    step(windows, seen(7), 1001.1 + RETRY_S)
    assert service.calls == [{"window": 62}]


def test_slices_of_other_replicas_stateful_stages_and_stages_without_proxies_are_left_out():
    windows, service, _ = following(described=pipeline(stage("classify")))
    record = seen(1)
    step(windows, telemetry(2, 1002.0, setting={**vars_of(record.setting)}, replicas_ready=1, proxies={}), 1002.1)
    assert windows.chosen == {}
    moved = telemetry(3, 1003.0, scatter=[{"rows": 64, "rate": 800, "ready": 2}] * 9)  # the record's replicas are 1
    step(windows, moved, 1003.1)
    assert windows.chosen["classify"].known is None
    assert service.calls == []


def vars_of(setting):
    return {name: getattr(setting, name) for name in ("variant", "version", "batch", "cores", "replicas", "window")}


def test_the_loop_sets_a_window_records_it_and_explains_it():
    at = world()
    at.run(6, 100)
    at_s = at.now_s + 0.5
    record = json.loads(asyncio.run(at._telemetry(100)))
    scatter = [{"rows": q, "rate": saturating(200, 16)(q), "ready": 1} for q in (4, 8, 16, 32, 64) for _ in range(LEAST)]
    record |= {"at_ms": round(at_s * 1000), "batches": 25, "batch_rows": 200, "scatter": scatter}  # 25 * 5 ms + 200 * 4.4 ms
    at.loop.take(json.dumps(record).encode(), at_s)
    asyncio.run(at.loop.step(at_s))
    assert at.service.calls == [{"window": 31}]
    told = at.run(1, 100)[0]
    assert told["in_flight"]["classify"]["rows"] == 31
    assert told["stages"]["classify"] == {"actions": {"window": 31}, "outcome": "confirmed"}
    assert any(line.startswith("  classify: window 31 rows a proxy (measured; 200 rows/s from 14 rows in the service on") for line in lines(told))
