"""Studies whose runs are numbers that they were made with."""

from collections.abc import Callable

import pytest

from bench.repro import runs
from bench.repro.level import HEADLINE, Level
from bench.repro.study import Case, Contender, Curve, Role, Study


@pytest.fixture
def numbered(monkeypatch):
    """A run's figures: its level's noise, its seed, and what its contender makes."""

    def simulated(contender: Contender) -> Callable:
        return lambda level, seed, draw: ({"cv": level.cv, "seed": seed, "number": contender.make(level, seed)}, None)

    monkeypatch.setattr(runs, "_simulated", simulated)


def case(name: str, *numbers: int) -> Case:
    return Case(name, tuple(Contender(f"c{number}", Role.BASELINE, lambda level, seed, number=number: number) for number in numbers))


NOISY = Level(HEADLINE.cv + 0.25)
STUDIES = [
    Study("one", "One", (case("a", 1, 2), case("b", 3)), {}, curves=(Curve("k", "s", ((0.5, case("at", 4)),)),), levels=(NOISY,), at_levels=("b",)),
    Study("other", "Other", (case("a", 5),), {}),
]


@pytest.mark.parametrize("processes", [1, 2])
def test_each_study_gets_its_own_runs_in_the_order_of_the_seeds(numbered, processes):
    told = []
    found = {study.name: found for study, found in runs.run(STUDIES, 3, 1, 7, lambda study, done, of: told.append((study.name, done, of)), processes)}
    one, other = found["one"], found["other"]
    assert [row["seed"] for row in one.headline["a"].by_seed["c2"]] == [7, 8, 9]
    assert {row["number"] for row in one.headline["a"].by_seed["c2"]} == {2}
    assert [(row["seed"], row["cv"]) for row in one.levels["b", NOISY.name].by_seed["c3"]] == [(7, NOISY.cv)]
    assert [row["number"] for row in one.curves["k", 0.5].by_seed["c4"]] == [4]
    assert [row["number"] for row in other.headline["a"].by_seed["c5"]] == [5, 5, 5]
    assert told.count(("one", 11, 11)) == told.count(("other", 3, 3)) == 1


def test_a_study_is_there_before_the_runs_of_the_next(numbered):
    begun = []
    late = Study("late", "Late", (Case("a", (Contender("c", Role.BASELINE, lambda level, seed: begun.append(seed) or 0),)),), {})
    first = next(runs.run([STUDIES[1], late], 1, 1, 1, lambda study, done, of: None, processes=1))
    assert first[0].name == "other"
    assert not begun


def test_a_run_that_fails_says_which(numbered):
    broken = Study("broken", "Broken", (Case("a", (Contender("c", Role.BASELINE, lambda level, seed: 1 / 0),)),), {})
    with pytest.raises(RuntimeError, match=r"^a, c, .*seed 4$"):
        list(runs.run([broken], 1, 1, 4, lambda study, done, of: None, processes=1))
