"""Runs that are done and those that are to do."""

from bench.live.contender import Contender
from bench.live.store import TRIES, Planned, Store, counted, remaining
from tests.bench.live.builders import run

ONE, TWO, THREE = (Contender(name, "hpa") for name in ("one", "two", "three"))
ALL = (ONE, TWO, THREE)


def todo(runs, repeats=2, seed=1, contenders=ALL):
    return list(remaining(runs, contenders, repeats, seed))


def test_every_contender_comes_once_in_each_repeat_in_an_order_by_the_seed():
    first = todo([])
    assert len(first) == 6
    assert {(one.contender.name, one.repeat) for one in first} == {(contender.name, repeat) for contender in ALL for repeat in (0, 1)}
    assert [one.repeat for one in first] == [0, 0, 0, 1, 1, 1]
    assert todo([]) == first
    assert todo([], contenders=(THREE, ONE, TWO)) == first  # however they are named
    orders = {tuple(one.contender.name for one in todo([], repeats=1, seed=seed)) for seed in range(20)}
    assert len(orders) > 2


def test_a_study_that_was_stopped_goes_on_where_it_was():
    planned = todo([])
    done = [run(one.contender, one.repeat) for one in planned[:4]]
    assert todo(done) == planned[4:]


def test_an_invalid_run_is_made_again_last_and_not_for_ever():
    done = [run(one.contender, one.repeat) for one in todo([], repeats=1)]
    spoilt = [run(ONE, 0, invalid=["the host took 9% of the cores"]) if each["contender"]["name"] == "one" else each for each in done]
    assert todo(spoilt, repeats=1) == [Planned(ONE, 0, 1)]
    assert list(remaining(spoilt, ALL, 1, 1, tries=1)) == []
    again = [*spoilt, run(ONE, 0, attempt=TRIES - 1, invalid=["as before"])]
    assert todo(again, repeats=1) == []
    assert counted(again, ONE)[0]["attempt"] == TRIES - 1


def test_of_several_runs_the_valid_one_counts():
    spoilt, good = run(ONE, 0, invalid=["so"]), run(ONE, 0, attempt=1, unit_s=5.0)
    assert counted([good, spoilt], ONE) == {0: good}


def test_a_contender_that_is_set_otherwise_is_another_one():
    done = [run(ONE, 0)]
    changed = Contender("one", "hpa", {"target": 0.5})
    assert counted(done, changed) == {}
    assert todo(done, repeats=1, contenders=(changed,)) == [Planned(changed, 0, 0)]


def test_runs_are_kept_as_files(tmp_path):
    store = Store(tmp_path / "runs")
    assert store.runs() == []
    one, other = run(ONE, 0), run(TWO, 1, attempt=1)
    store.write(one)
    path = store.write(other)
    assert path.name == "run-two-1-1.json"
    assert sorted(store.runs(), key=lambda each: each["repeat"]) == [one, other]
    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == ["run-one-0-0.json", "run-two-1-1.json"]
