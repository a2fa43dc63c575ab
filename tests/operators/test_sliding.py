import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.sliding import slide, state_type

times = st.lists(st.integers(0, 40), max_size=30)


@given(st.lists(times, min_size=1, max_size=4), st.integers(1, 8), st.randoms(use_true_random=False))
def test_the_count_is_that_of_the_definition_however_events_are_cut_into_turns(keys, slices, random):
    table = np.zeros(len(keys), state_type(slices))
    kept = np.zeros(len(keys), bool)
    recent_of, total_of = [[] for _ in keys], [[] for _ in keys]
    while any(len(found) < len(key) for found, key in zip(recent_of, keys, strict=True)):
        sizes = [random.randint(0, len(key) - len(found)) for found, key in zip(recent_of, keys, strict=True)]
        chosen = np.array([k for k, size in enumerate(sizes) if size], int)
        counts = np.array([sizes[k] for k in chosen], int)
        part = table[chosen]
        at = [t for k in chosen for t in keys[k][len(recent_of[k]) : len(recent_of[k]) + sizes[k]]]
        recent, total = slide(part, kept[chosen], counts, np.array(at, np.int64))
        table[chosen], kept[chosen] = part, True
        for k, n, whole in zip(np.repeat(chosen, counts).tolist(), recent.tolist(), total.tolist(), strict=True):
            recent_of[k].append(n)
            total_of[k].append(whole)
    for k, key in enumerate(keys):
        assert total_of[k] == list(range(1, len(key) + 1))
        assert recent_of[k] == [sum(max(key[:n]) - slices < t for t in key[:n]) for n in range(1, len(key) + 1)]


def test_by_hand():
    state = np.zeros(1, state_type(3))
    recent, _ = slide(state, np.array([False]), np.array([5]), np.array([10, 10, 11, 13, 20]))
    assert recent.tolist() == [1, 2, 3, 2, 1]  # 10 10 | 10 10 11 | 11 13 | 20
    recent, total = slide(state, np.array([True]), np.array([3]), np.array([21, 19, 17]))
    assert recent.tolist() == [2, 3, 3]  # 19 comes late but counts; 17 is out of the window
    assert total.tolist() == [6, 7, 8]
    assert state["newest"].tolist() == [21]
    assert state["counts"].tolist() == [[1, 1, 1]]


def test_far_apart():
    state = np.zeros(2, state_type(4))
    recent, _ = slide(state, np.array([False, False]), np.array([3, 2]), np.array([0, 2**40, 2**40 + 1, 5, 2**50]))
    assert recent.tolist() == [1, 1, 2, 1, 1]


def test_nothing():
    recent, total = slide(np.zeros(0, state_type(4)), np.zeros(0, bool), np.zeros(0, int), np.zeros(0, np.int64))
    assert len(recent) == len(total) == 0
