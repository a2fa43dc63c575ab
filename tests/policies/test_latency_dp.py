"""The graph transformation and the DP over it, against every combination tried one by one."""

import itertools
import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Share
from autoscaler.policies.latency_dp import Order, Part, Way, cheapest, limit_of, steps_of, transform
from tests.policies.suite import problem


def way(steps: int, price: float) -> Way:
    return Way(Share(Option("v", 1, 1.0, steps, 1000 / steps, 1.0, price), 1), steps, price)


def longest(after: dict[str, tuple[str, ...]], steps: dict[str, int]) -> int:
    done: dict[str, int] = {}
    for name in after:  # in an order that respects it
        done[name] = steps[name] + max((done[previous] for previous in after[name]), default=0)
    return max(done.values())


def tried(after, ways, limit):
    fitting = (chosen for chosen in itertools.product(*ways.values())
               if longest(after, dict(zip(ways, (one.steps for one in chosen), strict=True))) <= limit)
    return min((sum(one.price for one in chosen) for chosen in fitting), default=None)


WAYS = st.lists(st.builds(way, st.integers(1, 9), st.integers(0, 20).map(float)), min_size=1, max_size=3)


@st.composite
def series_parallel(draw, names):
    """(graph, its first stages, its last stages) over these names."""
    if len(names) == 1:
        return {names[0]: ()}, set(names), set(names)
    cut = draw(st.integers(1, len(names) - 1))
    one, one_first, one_last = draw(series_parallel(names[:cut]))
    other, other_first, other_last = draw(series_parallel(names[cut:]))
    if draw(st.booleans()):
        joined = {name: tuple(sorted(one_last)) if name in other_first else before for name, before in other.items()}
        return one | joined, one_first, other_last
    return one | other, one_first | other_first, one_last | other_last


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_exact_on_series_parallel_graphs(data):
    names = [f"s{index}" for index in range(data.draw(st.integers(1, 5)))]
    after, _, _ = data.draw(series_parallel(names))
    ways = {name: data.draw(WAYS) for name in names}
    limit = data.draw(st.integers(1, 30))
    best = cheapest(transform(after), ways, limit)
    assert (best.price if best else None) == tried(after, ways, limit)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_on_any_graph_a_plan_holds_its_deadline(data):
    names = [f"s{index}" for index in range(5)]
    after = {name: tuple(before for before in names[:index] if data.draw(st.booleans())) for index, name in enumerate(names)}
    ways = {name: data.draw(WAYS) for name in names}
    limit = data.draw(st.integers(1, 40))
    best, least = cheapest(transform(after), ways, limit), tried(after, ways, limit)
    if best is not None:
        chosen = dict(best.ways)
        assert set(chosen) == set(names)
        assert longest(after, {name: one.steps for name, one in chosen.items()}) <= best.steps <= limit
        assert best.price >= least


def test_a_diamond_is_a_series_around_a_parallel_part():
    part = transform({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})
    assert part == Part(Order.SERIES, ("a", Part(Order.PARALLEL, ("b", "c")), "d"))


def test_the_n_shape_is_taken_by_levels():
    part = transform({"a": (), "b": (), "c": ("a",), "d": ("a", "b")})  # a-c, a-d, b-d: no series-parallel order
    assert part == Part(Order.SERIES, (Part(Order.PARALLEL, ("a", "b")), Part(Order.PARALLEL, ("c", "d"))))


def test_by_levels_a_plan_may_cost_more():
    after = {"a": (), "b": (), "c": ("a",), "d": ("a", "b")}
    ways = {"a": [way(1, 1)], "b": [way(5, 1)], "c": [way(5, 1), way(1, 3)], "d": [way(1, 1)]}
    assert tried(after, ways, 6) == 4  # a, c take 6 of 6; b, d take 6
    assert cheapest(transform(after), ways, 6).price == 6  # c waits for b, so it must be short


def test_of_equal_prices_the_one_that_takes_least_time():
    best = cheapest(transform({"a": (), "b": ("a",)}), {"a": [way(4, 2), way(3, 2)], "b": [way(5, 1), way(2, 4)]}, 20)
    assert (best.steps, best.price) == (8, 3)


def test_steps_and_limits():
    assert steps_of(10.0, 1.0) == 10
    assert steps_of(10.1, 1.0) == 11
    assert steps_of(math.inf, 1.0) == math.inf
    loose = problem({"a": ()}, slo_ms=100.0)
    assert limit_of(loose) == 100
    assert limit_of(replace(loose, strict=True)) == 99
    assert limit_of(replace(loose, strict=True, slo_ms=99.5)) == 99
