"""Branches, fan-outs and joins, computed by hand for single events."""

import numpy as np
import pytest

from autoscaler.graph.pipeline import Incomplete, OnLate
from autoscaler.planner.model import GivenVariant, Problem, RateTerm, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from simulator.least import least_s
from simulator.network import SINK, Branch, Children, FanOut, Graph, Station, graph_of, to
from simulator.outcome import Outcome
from simulator.simulation import simulate
from simulator.truth import Truth
from tests.simulator.builders import at, by_stage, events_of, fixed, line, option, scenario

ONE = (Share(option(), 1),)
DIAMOND = (Station("a", FanOut((Children("b"), Children("c")))), Station("b", to("d")), Station("c", to("d")), Station("d", SINK, join="a"))


def test_a_fork_waits_for_its_slower_branch():
    truth = Truth(by_stage(a=5.0, b=10.0, c=30.0, d=5.0))
    run = simulate(scenario(dict.fromkeys("abcd", ONE), Graph(DIAMOND, to("a")), arrivals=at(0.5), truth=truth))
    events = events_of(run, 4)
    assert events.finish_s == pytest.approx([0.5 + 0.005 + 0.030 + 0.005])
    assert events.variants.tolist() == [[0, 0, 0, 0]]
    assert events.accuracy == pytest.approx([0.9 * 0.9 * 0.9])  # a, the mean of b and c, d


def test_width_of_a_fan_out_depends_on_the_variant():
    graph = Graph((Station("a", FanOut((Children("b", 1.0, {"k": 3.0}),))), Station("b", to("c")), Station("c", SINK, join="a", plain=True)), to("a"))
    initial = {"a": (Share(option("k", accuracy=0.8), 1),), "b": (Share(option(accuracy=0.5), 1),)}
    run = simulate(scenario(initial, graph, arrivals=at(0.5), truth=Truth(by_stage(a=5.0, b=10.0))))
    events = events_of(run, 3)
    assert events.finish_s == pytest.approx([0.5 + 0.005 + 3 * 0.010])  # three children, one by one
    assert events.accuracy == pytest.approx([0.8 * 0.5])
    assert events.variants.tolist() == [[0, 0, -1]]


def test_an_event_without_children_goes_on_at_once():
    graph = Graph((Station("a", FanOut((Children("b", 0.0),))), Station("b", to("c")), Station("c", SINK, join="a")), to("a"))
    run = simulate(scenario(dict.fromkeys("abc", ONE), graph, arrivals=at(0.5), truth=Truth(fixed(10.0))))
    assert events_of(run, 3).finish_s == pytest.approx([0.520])
    assert events_of(run, 3).variants.tolist() == [[0, -1, 0]]


def test_broken_widths_are_right_on_average():
    graph = Graph((Station("a", FanOut((Children("b", 2.25),))), Station("b", SINK)), to("a"))
    run = simulate(scenario({"a": (Share(option(batch=8), 4),), "b": (Share(option(batch=8), 4),)}, graph, counts=[100.0] * 20, truth=Truth(line(0.0, 1.0))))
    rows_at_b = run.used_s / 0.001 - run.tally.events  # every row takes 1 ms of a core at each stage
    assert rows_at_b / run.tally.events == pytest.approx(2.25, abs=3.3 * np.sqrt(0.25 * 0.75 / run.tally.events) + 0.005)


@pytest.mark.parametrize(("incomplete", "outcome", "finish_s"), [
    (Incomplete.PARTIAL, Outcome.LATE, 0.8 + 0.005 + 0.4),
    (Incomplete.DEAD_LETTER, Outcome.INCOMPLETE, 0.8 + 0.005 + 0.4),
])
def test_a_join_that_lost_a_child_ends_at_its_horizon(incomplete, outcome, finish_s):
    """The first event teaches b that it takes 50 ms; the second's children then expire, as they have 20 ms."""
    stations = (Station("a", FanOut((Children("b", 2.0),))), Station("b", to("c"), on_late=OnLate.DEAD_LETTER), Station("c", SINK, join="a", plain=True))
    run = simulate(scenario({"a": ONE, "b": ONE}, Graph(stations, to("a"), 0.4, incomplete), arrivals=at(0.5, 0.8, slo_s=0.02),
                            truth=Truth(by_stage(a=5.0, b=50.0))))
    events = events_of(run, 3)
    assert events.outcome[1] == outcome
    assert events.finish_s[1] == pytest.approx(finish_s)
    assert events.accuracy[1] == 0.0


def test_late_children_of_a_partial_join_are_counted_with_it():
    """b takes 300 ms, the horizon is 100 ms: c gets the parent without its child."""
    stations = (Station("a", FanOut((Children("b"),))), Station("b", to("c")), Station("c", SINK, join="a"))
    run = simulate(scenario(dict.fromkeys("abc", ONE), Graph(stations, to("a"), 0.1), arrivals=at(0.5, slo_s=5.0),
                            truth=Truth(by_stage(a=5.0, b=300.0, c=5.0))))
    events = events_of(run, 3)
    assert events.finish_s == pytest.approx([0.5 + 0.005 + 0.1 + 0.005])
    assert events.outcome.tolist() == [Outcome.IN_TIME]


def test_children_that_meet_nowhere_end_their_event_with_the_last():
    graph = Graph((Station("a", FanOut((Children("b"), Children("c")))), Station("b", SINK), Station("c", SINK)), to("a"))
    run = simulate(scenario(dict.fromkeys("abc", ONE), graph, arrivals=at(0.5), truth=Truth(by_stage(a=5.0, b=10.0, c=40.0))))
    assert events_of(run, 3).finish_s == pytest.approx([0.545])


def test_a_branch_takes_its_share_and_the_same_events_whatever_runs():
    graph = Graph((Station("a", Branch((("b", 0.3), (None, 0.7)))), Station("b", SINK)), to("a"))
    runs = [simulate(scenario({"a": (Share(option(batch=8), replicas),), "b": ONE}, graph, counts=[200.0] * 20, truth=Truth(fixed(3.0), 0.2)), seed=4)
            for replicas in (1, 3)]
    taken = [events_of(run, 2).variants[:, 1] == 0 for run in runs]
    assert (taken[0] == taken[1]).all()
    assert taken[0].mean() == pytest.approx(0.3, abs=3.3 * np.sqrt(0.3 * 0.7 / len(taken[0])))


def test_accuracy_may_depend_on_the_variant_before():
    given = GivenVariant("a", {("m", "m"): 0.4, ("k", "m"): 0.2})
    stations = (Station("a", FanOut((Children("b"),))), Station("b", to("c"), given=given), Station("c", SINK, join="a", plain=True))
    initial = {"a": (Share(option("m", accuracy=1.0), 1, 0.5), Share(option("k", accuracy=1.0), 1, 0.5)), "b": ONE}
    run = simulate(scenario(initial, Graph(stations, to("a")), arrivals=at(0.1, 0.3, 0.5, 0.7)))
    events = events_of(run, 3)
    assert events.accuracy == pytest.approx(np.where(events.variants[:, 0] == 0, 0.4, 0.2))
    assert set(events.variants[:, 0]) == {0, 1}


def test_the_planners_chain_becomes_a_graph():
    stages = (StageModel("a", (option(),)), StageModel("b", (option(),), ("a",), (RateTerm("a", 2.0, {"m": 1.5}),), weight=0.5),
              StageModel("c", (option(),), ("b",)))
    graph = graph_of(Problem(stages, 1.0, 100.0, LeastCost(), FillWait()))
    assert graph.stations[0].after == FanOut((Children("b", 2.0, {"m": 3.0}),))
    assert graph.stations[1].after == to("c")
    assert graph.stations[1].weight == 0.5


def test_the_least_time_takes_the_shortest_way():
    stations = (Station("a", Branch((("b", 0.5), ("c", 0.5)))), Station("b", to("d")), Station("c", to("d")), Station("d", SINK))
    made = scenario(dict.fromkeys("abcd", ONE), Graph(stations, to("a")), truth=Truth(by_stage(a=5.0, b=10.0, c=30.0, d=5.0)))
    assert least_s(made.graph, made.problem, made.truth) == pytest.approx(0.020)
    forked = scenario(dict.fromkeys("abcd", ONE), Graph(DIAMOND, to("a")), truth=made.truth)
    assert least_s(forked.graph, forked.problem, forked.truth) == pytest.approx(0.040)


@pytest.mark.parametrize(("stations", "source", "text"), [
    ((Station("a", to("b")),), to("a"), "not a station after it"),
    ((Station("a", Branch((("b", 0.5),))), Station("b")), to("a"), "add up to 1"),
    ((Station("a"), Station("a")), to("a"), "each name once"),
    ((Station("a"), Station("b", join="c")), to("a"), "not a station before it"),
    ((Station("a"), Station("b", plain=True)), to("a"), "joins nothing"),
    ((Station("a"),), SINK, "must go to a station"),
])
def test_a_graph_that_cannot_be_run_says_why(stations, source, text):
    with pytest.raises(ValueError, match=text):
        Graph(stations, source)
