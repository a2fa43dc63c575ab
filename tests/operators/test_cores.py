import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.cores import CoreMap, eighths, threads


def test_cores_are_counted_in_eighths():
    assert [eighths(cores) for cores in (0.125, 1, 1.5, 2.875)] == [1, 8, 12, 23]
    assert [threads(cores) for cores in (0.125, 1, 1.5, 2.875)] == [1, 1, 2, 3]


@pytest.mark.parametrize("cores", [0, -1, 0.1, 1.2, float("nan")])
def test_what_is_no_number_of_eighths_is_refused(cores):
    with pytest.raises(ValueError, match=r"use a multiple of 0\.125"):
        eighths(cores)


def test_replicas_have_cores_of_their_own_while_these_last():
    cores = CoreMap([0, 1, 2, 3])
    assert cores.place("a", 16) == {"a": (0, 1)}
    assert cores.place("b", 8) == {"b": (2,)}
    assert cores.place("c", 8) == {"c": (3,)}
    assert cores.place("d", 8) == {"d": (0,)}  # all are taken; of equals the lowest
    assert (cores.given, cores.size) == (40, 32)


def test_a_resize_keeps_the_others_where_they_are():
    cores = CoreMap([0, 1, 2, 3])
    cores.place("a", 8)
    cores.place("b", 8)
    assert cores.place("a", 24) == {"a": (0, 2, 3)}
    assert cores.place("a", 8) == {"a": (0,)}


def test_others_move_where_that_frees_the_most_loaded_core():
    cores = CoreMap([0, 1])
    cores.place("a", 4)
    cores.place("b", 4)
    assert cores.place("c", 8) == {"a": (1,), "c": (0,)}  # the halves together instead of 12 eighths on one core


def test_a_core_that_is_freed_is_used():
    cores = CoreMap([0, 1])
    for name in "abc":
        cores.place(name, 8)
    assert cores.of("c") == (0,)
    assert cores.remove("b") == {"c": (1,)}
    assert cores.remove("b") == {}


def test_more_than_the_machine_has_is_all_of_it():
    assert CoreMap([4, 6]).place("a", 80) == {"a": (4, 6)}


CHANGE = st.tuples(st.integers(0, 5), st.integers(0, 40))


@given(st.integers(1, 8), st.lists(CHANGE, max_size=30))
def test_every_replica_has_its_cores_and_what_changes_is_told(size, changes):
    cores, told, has = CoreMap(range(size)), {}, {}
    for replica, count in changes:
        if count:
            has[replica] = count
            told.update(cores.place(replica, count))
        else:
            has.pop(replica, None)
            told.update(cores.remove(replica))
            told.pop(replica, None)
        loads = [0] * size
        for one, wanted in has.items():
            assert cores.of(one) == told[one]
            assert len(set(told[one])) == min(-(-wanted // 8), size)
            for at, core in enumerate(told[one]):
                loads[core] += min(8, wanted - 8 * at)
        if all(count % 8 == 0 for count in has.values()) and sum(has.values()) <= 8 * size:
            assert max(loads) <= 8  # whole cores that suffice are shared by none
        assert cores.given == sum(has.values())
