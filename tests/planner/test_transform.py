"""From a graph to one arc: which graphs need no fixing, and that the steps mean the longest way through."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.model import StageModel
from autoscaler.planner.transform import MOST_FIXED, Beside, Fix, Module, Series, steps


def graph(**after):
    """graph(c="ab"): c comes after a and b."""
    return [StageModel(name, (), tuple(before)) for name, before in after.items()]


def fixed(stages):
    return steps(stages, [10] * len(stages)).fixed


@pytest.mark.parametrize("stages", [
    graph(a=""), graph(a="", b="a", c="b"), graph(a="", b=""), graph(a="", b="a", c="a", d="bc"), graph(a="", b="", c="ab", d="ab"),
    graph(a="", b="a", c="a", d="b", e="b", f="cde"), graph(a="", b="a", c="ab"), graph(a="", b="a", c="b", d="ab", e="cd")])
def test_series_parallel_graphs_need_no_fixing(stages):
    assert fixed(stages) == 0


def test_n_needs_one():
    assert fixed(graph(a="", b="", c="a", d="ab")) == 1


def test_two_ns_behind_each_other_need_one_each():
    twice = graph(a="", b="", c="a", d="ab", e="cd", f="cd", g="e", h="ef")
    found = steps(twice, [10] * 8)
    assert found.fixed == 1
    assert sum(isinstance(step, Module) for step in found.steps) >= 1


def test_an_n_between_two_stages_is_a_part_by_itself():
    found = steps(graph(s="", a="s", b="s", c="a", d="ab", t="cd"), [10] * 6)
    assert [type(step) for step in found.steps].count(Module) == 1
    assert found.fixed == 1


@pytest.mark.parametrize(("stages", "message"), [(graph(a="b", b="a"), "circle"), (graph(a="z"), "no stage is named")])
def test_what_is_no_graph(stages, message):
    with pytest.raises(ValueError, match=message):
        steps(stages, [1] * len(stages))


def test_a_long_chain_is_quick_and_left_to_right():
    chain = [StageModel(f"s{place}", (), (f"s{place - 1}",) if place else ()) for place in range(500)]
    found = steps(chain, [10] * 500)
    assert len(found.steps) == 499
    assert all(step.second < 500 for step in found.steps)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 7))
    return [StageModel(f"s{place}", (), tuple(f"s{other}" for other in range(place) if draw(st.booleans()))) for place in range(count)]


def longest(stages, times):
    done = {}
    for stage, time in zip(stages, times, strict=True):
        done[stage.name] = time + max((done[name] for name in stage.after), default=0)
    return max(done.values())


def value(made, last, known):
    """Ticks of the last arc, when every arc is just a number."""
    known = dict(known)
    for step in made:
        match step:
            case Series(first, second, new):
                known[new] = known.pop(first) + known.pop(second)
            case Beside(first, second, new):
                known[new] = max(known.pop(first), known.pop(second))
            case Module(arcs, inner, new):
                known[new] = value(inner, new, {arc: known.pop(arc) for arc in arcs})
            case Fix(arc, moved):
                ticks = known.pop(arc)
                for old, new in moved:
                    known[new] = ticks + (0 if old is None else known.pop(old))
    assert list(known) == [last]
    return known[last]


@settings(max_examples=150, deadline=None)
@given(graphs(), st.data())
def test_the_steps_give_the_longest_way(stages, data):
    found = steps(stages, [data.draw(st.integers(1, 5)) for _ in stages])
    for _ in range(5):
        times = data.draw(st.lists(st.integers(0, 20), min_size=len(stages), max_size=len(stages)))
        assert value(found.steps, found.last, dict(enumerate(times))) == longest(stages, times)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_fixing_is_needed_just_where_there_is_an_n(stages):
    earlier = {}
    for stage in stages:
        earlier[stage.name] = set().union(*(earlier[name] | {name} for name in stage.after))

    def apart(first, second):
        return first not in earlier[second] and second not in earlier[first]

    has_n = any(a in earlier[c] and a in earlier[d] and b in earlier[d] and apart(a, b) and apart(c, d) and apart(b, c)
                for a, b, c, d in itertools.permutations(earlier, 4))
    assert (fixed(stages) > 0) == has_n
    assert fixed(stages) <= MOST_FIXED
