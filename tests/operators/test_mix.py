from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.actions import Setting
from operators.mix import DEBT_MAX, Asks, Mix, Way, leveled
from operators.operator import Variant
from operators.queue import chosen, runs_of
from operators.stage import Stage

SHARES = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda raw: [share / sum(raw) for share in raw])


def way(accuracy, replicas=1, batch=8, row_s=0.0):
    """A way with idle replicas; row_s: seconds per row that it has learned."""
    stage = Stage(Setting(Variant(f"a{accuracy}", accuracy), replicas, batch))
    stage.start(0.0)
    for number in range(replicas):
        stage.replica_ready(number, 0.0)
    if row_s:
        for rows in (1, batch):
            stage.service_time.observe(rows, rows * row_s)
    return Way(stage)


def mix_of(weights, floors=None, share=1.0, pins=None, lingering=()):
    mix = Mix(Asks((floors or {}).get, (pins or {}).get), share)
    mix.open(weights, lingering)
    return mix


def rows(placed):
    """Rows by the way's accuracy."""
    return {way.accuracy: sorted(int(row) for run in runs for row in run.rows) for way, runs in placed.items()}


def placed(mix, count, request="a", deadline_s=100.0, keep=None, now=0.0):
    return mix.place(runs_of(request, np.full(count, deadline_s), now, keep), now)


def counts(mix, sizes):
    """Rows of each way after each request."""
    seen = dict.fromkeys(mix.ways, 0)
    history = []
    for size in sizes:
        for way_, runs in placed(mix, size).items():
            assert len(runs) == 1  # one part per way
            seen[way_] += len(runs[0])
        history.append(dict(seen))
    return history


@settings(deadline=None)
@given(SHARES, st.lists(st.integers(1, 600), min_size=1, max_size=40))
def test_every_way_has_its_share_to_within_a_row_at_any_time(shares, sizes):
    mix = mix_of({way(0.5 + 0.01 * number): share for number, share in enumerate(shares)})
    for total, seen in zip(accumulate(sizes), counts(mix, sizes), strict=True):
        assert sum(seen.values()) == total
        for one, count in seen.items():
            assert abs(count - one.weight * total) < 1 + 1e-6


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.lists(st.integers(1, 600), min_size=2, max_size=40), st.data())
def test_with_two_ways_any_stretch_of_requests_has_its_shares_to_within_a_row(share, sizes, data):
    mix = mix_of({way(0.9): share, way(0.8): 1 - share})
    first, *_ = mix.ways
    totals, history = [0, *accumulate(sizes)], [0, *(seen[first] for seen in counts(mix, sizes))]
    begin = data.draw(st.integers(0, len(sizes) - 1))
    end = data.draw(st.integers(begin + 1, len(sizes)))
    assert abs(history[end] - history[begin] - share * (totals[end] - totals[begin])) <= 1 + 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.integers(0, 300))
def test_leveled_gives_row_by_row_to_the_largest_credit(credits, rows):
    left, counts = list(credits), [0] * len(credits)
    for _ in range(rows):
        at = left.index(max(left))
        left[at] -= 1
        counts[at] += 1
    found = leveled(credits, rows)
    assert sum(found) == rows
    assert sorted(np.round(np.array(credits) - found, 6)) == pytest.approx(sorted(np.round(left, 6)))


def test_a_single_way_takes_all():
    assert rows(placed(mix_of({way(0.9): 1.0}), 3)) == {0.9: [0, 1, 2]}


def test_the_ways_take_turns_in_being_first():
    mix = mix_of({way(0.9): 0.5, way(0.8): 0.5})
    assert [rows(placed(mix, 4))[0.9] for _ in range(2)] in ([[0, 1], [2, 3]], [[2, 3], [0, 1]])


def test_new_shares_hold_from_the_next_row_on():
    old, new = way(0.8), way(0.9)
    mix = mix_of({old: 1.0})
    placed(mix, 100)
    mix.open({new: 1.0})
    assert rows(placed(mix, 100)) == {0.9: list(range(100))}


# accuracy


def test_rows_go_to_ways_that_are_accurate_enough():
    mix = mix_of({way(0.8): 0.8, way(0.9): 0.1, way(0.95): 0.1}, floors={"a": np.array([0.9, 0, 0, 0.95, 0, 0, 0, 0, 0, 0], np.float32)})
    found = rows(placed(mix, 10))
    assert found[0.95] == [3]
    assert 0 in found[0.9]
    assert mix.below == 0


def test_the_others_make_up_for_rows_that_may_go_to_few_ways():
    accurate, fast = way(0.9), way(0.8)
    mix = mix_of({accurate: 0.5, fast: 0.5}, floors={"strict": np.full(10, 0.9, np.float32)})
    assert rows(placed(mix, 10, "strict")) == {0.9: list(range(10))}
    assert rows(placed(mix, 10, "any")) == {0.8: list(range(10))}  # 10 of 20 each
    assert {one: len(of) for one, of in rows(placed(mix, 10, "any")).items()} == {0.9: 5, 0.8: 5}


def test_what_cannot_be_made_up_for_is_forgotten_in_the_end():
    accurate, fast = way(0.9), way(0.8)
    mix = mix_of({accurate: 0.1, fast: 0.9}, floors={"strict": np.full(1000, 0.9, np.float32)})
    for _ in range(50):
        placed(mix, 1000, "strict")
    assert fast.credit == DEBT_MAX


def test_where_no_way_is_accurate_enough_the_most_accurate_answers():
    mix = mix_of({way(0.8): 0.5, way(0.9): 0.5}, floors={"a": np.array([0.99, 0.99], np.float32)})
    assert rows(placed(mix, 2)) == {0.9: [0, 1]}
    assert mix.below == 2


def test_an_accuracy_is_compared_as_it_travels():
    mix = mix_of({way(0.985): 0.5, way(0.8): 0.5}, floors={"a": np.array([0.985], np.float32)})  # as 32 bits a little above 0.985
    assert rows(placed(mix, 1)) == {0.985: [0]}
    assert mix.below == 0


def test_a_way_without_a_share_gets_only_rows_that_others_cannot_take():
    mix = mix_of({way(0.8): 1.0, way(0.9): 0.0}, floors={"strict": np.full(2, 0.9, np.float32)})
    assert rows(placed(mix, 2, "any")) == {0.8: [0, 1]}
    assert rows(placed(mix, 2, "strict")) == {0.9: [0, 1]}


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.7, 0.85, 0.9, 0.99]), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_every_row_is_placed_once_and_well_enough(floors, share):
    mix = mix_of({way(0.8): share, way(0.9): 1 - share}, floors={"a": np.array(floors, np.float32)})
    found = rows(placed(mix, len(floors)))
    assert sorted(row for of in found.values() for row in of) == list(range(len(floors)))
    for accuracy, of in found.items():
        assert all(floors[row] <= accuracy or accuracy == 0.9 for row in of)
    assert mix.below == floors.count(0.99)


# versions


def test_a_row_goes_to_the_version_that_it_met():
    old, new = way(0.8), way(0.9)
    pins = np.array([b"a0.8:1", b"", b"a0.9:1", b"a0.7:1"])
    mix = mix_of({old: 0.0, new: 1.0}, pins={"a": pins})
    assert rows(placed(mix, 4)) == {0.8: [0], 0.9: [1, 2, 3]}
    assert (old.asked_at, mix.diverted) == (0.0, 0)


def test_a_lingering_way_takes_only_rows_that_met_it():
    old, new = way(0.8), way(0.9)
    mix = mix_of({new: 1.0}, pins={"a": np.array([b"a0.8:1", b""])}, lingering=[old])
    assert rows(placed(mix, 2)) == {0.8: [0], 0.9: [1]}
    assert rows(placed(mix, 2, "other")) == {0.9: [0, 1]}


# deadlines


def test_a_row_that_would_be_late_goes_to_a_faster_way():
    slow, fast = way(0.9, row_s=0.1), way(0.8, row_s=0.001)
    mix = mix_of({slow: 1.0, fast: 0.0})
    assert rows(placed(mix, 1, deadline_s=1.0)) == {0.9: [0]}
    assert rows(placed(mix, 1, deadline_s=0.05)) == {0.8: [0]}  # 100 ms there, 1 ms here
    assert mix.diverted == 1


def test_only_as_many_go_as_the_faster_way_has_room_for():
    slow, fast = way(0.9, row_s=0.1), way(0.8, row_s=0.01)
    mix = mix_of({slow: 1.0, fast: 0.0})
    found = rows(placed(mix, 20, deadline_s=0.05))
    assert (len(found[0.8]), len(found[0.9])) == (5, 15)  # 5 * 10 ms = 50 ms


def test_where_there_is_room_for_few_the_most_valuable_go():
    slow, fast = way(0.9, row_s=0.1), way(0.8, row_s=0.01)
    mix = Mix(Asks(values={"a": np.array([1, 5, 1, 5, 0, 1, 5, 5], np.float32)}.get))
    mix.open({slow: 1.0, fast: 0.0})
    found = rows(placed(mix, 8, deadline_s=0.05))
    assert found == {0.8: [0, 1, 3, 6, 7], 0.9: [2, 4, 5]}  # 5 * 10 ms = 50 ms


def test_a_row_stays_where_the_faster_way_is_not_accurate_enough():
    slow, fast = way(0.9, row_s=0.1), way(0.8, row_s=0.001)
    mix = mix_of({slow: 1.0, fast: 0.0}, floors={"a": np.array([0.85, 0.0], np.float32)})
    assert rows(placed(mix, 2, deadline_s=0.05)) == {0.9: [0], 0.8: [1]}


def test_of_the_ways_in_time_the_most_accurate_is_taken():
    mix = mix_of({way(0.95, row_s=1.0): 1.0, way(0.9, row_s=0.01): 0.0, way(0.8, row_s=0.001): 0.0})
    assert rows(placed(mix, 1, deadline_s=0.05)) == {0.9: [0]}


def test_a_row_that_must_be_kept_stays():
    mix = mix_of({way(0.9, row_s=0.1): 1.0, way(0.8, row_s=0.001): 0.0})
    assert rows(placed(mix, 1, deadline_s=0.01, keep=np.array([True]))) == {0.9: [0]}


def test_a_stage_that_may_use_half_of_the_time_diverts_earlier():
    mix = mix_of({way(0.9, row_s=0.1): 1.0, way(0.8, row_s=0.001): 0.0}, share=0.5)
    assert rows(placed(mix, 1, deadline_s=0.15)) == {0.8: [0]}  # due after 75 ms


def test_waiting_rows_that_would_be_late_are_rescued():
    slow, fast = way(0.9, batch=4, row_s=0.1), way(0.8, batch=4, row_s=0.001)
    mix = mix_of({slow: 1.0, fast: 0.0})
    slow.stage.adopt(runs_of("running", np.full(4, 9.0), 0.0), 0.0)
    slow.stage.adopt(runs_of("waiting", np.full(2, 0.7), 0.0), 0.0)
    assert mix.rescue(slow, 0.0) == {}  # 0.4 s until a replica is free, 0.2 s for both
    at = mix.rescue_at(slow, 0.0)
    assert at == pytest.approx(0.5, abs=0.02)
    assert rows(mix.rescue(slow, at + 0.01)) == {0.8: [0, 1]}
    assert slow.stage.queued == 0


def test_what_nobody_has_room_for_stays_in_the_queue():
    slow, fast = way(0.9, batch=4, row_s=0.1), way(0.8, batch=4, row_s=0.05)
    mix = mix_of({slow: 1.0, fast: 0.0})
    slow.stage.adopt(runs_of("running", np.full(4, 9.0), 0.0), 0.0)
    slow.stage.adopt(runs_of("waiting", np.full(3, 0.12), 0.0), 0.0)
    assert rows(mix.rescue(slow, 0.0)) == {0.8: [0, 1]}  # 2 * 50 ms
    assert slow.stage.queued == 1


def test_chosen_rows_keep_their_deadlines():
    (run,) = runs_of("a", np.array([3.0, 1.0, 2.0]), 0.5)
    part = chosen(run, np.array([0, 2]))
    assert (part.rows.tolist(), part.deadlines.tolist(), part.arrived) == ([1, 0], [1.0, 3.0], 0.5)
    assert chosen(run, np.array([1, 2])).rows.tolist() == [2, 0]
