"""Where policies come to rest, and which of them the others beat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from autoscaler.planner.compare import LONGEST_S, Row, pareto, settle, sweep
from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.plot import draw
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.policy import Decision, Target

ONE = Option("v", 1, 1, 10.0, 100.0, 0.9, 1.0)
PROBLEM = Problem((StageModel("a", (ONE,)),), 250.0, 100.0, LeastCost(), NoWait(), {"cpu": 4})
START = {"a": (Share(ONE, 1),)}


@dataclass(frozen=True)
class Grower:
    """One replica more each second while rows wait."""

    problem: Problem
    interval_s: float = 1.0
    name: str = "grower"

    def decide(self, state, forecast, memory=None):
        (pool,) = state.stages["a"].pools
        if state.stages["a"].queue == 0:
            return Decision({}, memory, "enough")
        return Decision({"a": Target((Share(ONE, pool.replicas + 1),))}, memory, "rows wait")


@dataclass(frozen=True)
class Swinger:
    problem: Problem
    interval_s: float = 1.0
    name: str = "swinger"

    def decide(self, state, forecast, memory=None):
        (pool,) = state.stages["a"].pools
        return Decision({"a": Target((Share(ONE, 3 - pool.replicas),))}, memory, "the other one")


def test_a_policy_is_followed_until_it_rests():
    # 250 rows/s at 100 rows/s a replica: a queue grows below 3 replicas, and what grew then drains with the 4th
    standing, rested = settle(PROBLEM, Grower(PROBLEM), START)
    assert rested
    assert standing.serves
    assert standing.plan.totals.cost >= 3


def test_a_policy_that_never_rests_is_said_to():
    assert LONGEST_S < 1e4
    _, rested = settle(PROBLEM, Swinger(PROBLEM), START)
    assert not rested


def test_rows_say_what_is_missed():
    (row,) = sweep(replace(PROBLEM, sizing=NoWait()), {"swinger": Swinger}, [250.0], START)
    assert (row.policy, row.rate, row.meets, row.rested) == ("swinger", 250.0, False, False)
    assert "demand" in row.missed


def test_a_policy_sees_its_own_rate():
    low, high = sweep(PROBLEM, {"grower": Grower}, [50.0, 250.0], START)
    assert low.cost == 1
    assert high.cost >= 3
    assert low.choices == ("a: 1 x v (1 cpu, batch 1)",)


def row(policy: str, cost: float, accuracy: float, meets: bool = True, rate: float = 1.0) -> Row:
    return Row(policy, rate, cost, accuracy, 10.0, cost, meets, (), True, ())


def test_the_front_is_what_no_other_beats_at_the_same_rate():
    rows = [row("cheap", 1, 0.8), row("sharp", 4, 0.9), row("dear", 4, 0.8), row("broken", 0.5, 0.99, meets=False), row("twin", 1, 0.8),
            row("dear", 9, 0.5, rate=2.0)]
    assert pareto(rows) == {("cheap", 1.0), ("sharp", 1.0), ("twin", 1.0), ("dear", 2.0)}


def test_the_plot_is_a_png(tmp_path):
    rows = [row("cheap", 1, 0.8), row("sharp", 4, 0.9, meets=False), replace(row("lost", 4, 0.9), latency_ms=float("inf"))]
    draw(rows, 100.0, "digits", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        draw([row("cheap", 1, 0.8)], 100.0, "digits", tmp_path / "nowhere" / "out.png")
