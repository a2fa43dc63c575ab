"""Every arrival ends in exactly one outcome, whatever the graph, the settings, the changes and the failures; and a seed is one outcome."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.graph.pipeline import Incomplete, OnLate
from autoscaler.planner.model import Share
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Decision, Target
from operators.batching import AdaptiveRule, AimdRule, EarlyDropRule, FixedRule
from simulator.arrivals import Arrivals, Delays, Even, Poisson
from simulator.network import SINK, Branch, Children, FanOut, Graph, Station, to
from simulator.outcome import Outcome
from simulator.proxy import Gathering
from simulator.scenario import Control, Failure
from simulator.simulation import simulate
from simulator.truth import Truth
from tests.simulator.builders import line, option, scenario

RULES = [AdaptiveRule, AimdRule, EarlyDropRule, lambda: FixedRule(4, 0.02)]
OPTIONS = (option("m", 4, 1.0), option("m", 1, 2.0), option("k", 8, 1.0, accuracy=0.7), option("k", 2, 1.0, accuracy=0.7, device="gpu"))


class Restless:
    """A policy that changes everything all the time, by its own seed: what it decides is of no use, which nothing may depend on."""

    name = "restless"

    def __init__(self, seed, names, interval_s):
        self.seed, self.names, self.interval_s = seed, names, interval_s

    def decide(self, state, forecast, memory=None):
        random = np.random.default_rng([self.seed, memory or 0])
        targets = {}
        for name in self.names:
            chosen = random.choice(len(OPTIONS), size=random.integers(1, 3), replace=False)
            variants = {(OPTIONS[at].variant, OPTIONS[at].device): OPTIONS[at] for at in chosen}
            shares = tuple(Share(one, int(random.integers(1, 4)), 1 / len(variants)) for one in variants.values())
            targets[name] = Target(shares, int(random.integers(1, 3)) if random.random() < 0.1 else None)
        return Decision(targets, (memory or 0) + 1, "restless")


@st.composite
def graphs(draw):
    """Chains, branches, forks that are joined or not, fan-outs of any width, at most 6 stations."""
    on_late = st.sampled_from(OnLate)
    station = {"rule": draw(st.sampled_from(RULES)), "on_late": draw(on_late), "fifo": draw(st.booleans()), "share": draw(st.sampled_from([0.3, 1.0]))}
    width = draw(st.sampled_from([0.0, 0.4, 1.0, 2.5]))
    kind = draw(st.sampled_from(["chain", "branch", "fork", "fan-out", "nested", "source"]))
    horizon_s, incomplete = draw(st.sampled_from([0.02, 0.5])), draw(st.sampled_from(Incomplete))

    def of(name, after, **fields):
        return Station(name, after, **station, **fields)

    def graph(*stations, source="a"):
        return Graph(stations, to(source), horizon_s, incomplete)

    if kind == "chain":
        return graph(of("a", to("b")), of("b", SINK))
    if kind == "branch":
        return graph(of("a", Branch((("b", 0.3), ("c", 0.2), (None, 0.5)))), of("b", to("c")), of("c", SINK))
    if kind == "fork":
        return graph(of("a", FanOut((Children("b"), Children("c")))), of("b", to("d")), of("c", to("d")), of("d", SINK, join="a"))
    if kind == "fan-out":
        joined = draw(st.booleans())
        last = of("c", SINK, join="a", plain=True) if joined else of("c", SINK)
        return graph(of("a", FanOut((Children("b", width, {"k": 3.0}),))), of("b", to("c")), last)
    if kind == "nested":
        return graph(of("a", FanOut((Children("b", width), Children("d", 1.0)))), of("b", FanOut((Children("c", 1.5),))), of("c", to("e")),
                     of("d", to("f")), of("e", to("f"), join="b", plain=True), of("f", SINK, join="a"))
    return Graph((of("a", to("b")), of("b", SINK)), Branch((("a", 0.4), ("b", 0.6))), horizon_s, incomplete)


@st.composite
def scenarios(draw):
    graph = draw(graphs())
    names = [one.name for one in graph.stations if not one.plain]
    initial = {name: (Share(OPTIONS[draw(st.integers(0, 3))], draw(st.integers(1, 3))),) for name in names}
    counts = draw(st.lists(st.floats(0, 150), min_size=1, max_size=4))
    network = draw(st.sampled_from([None, Delays([0.3, 0.0, 1.2]), Delays([0.01])]))
    arrivals = Arrivals(draw(st.sampled_from([Poisson, Even]))(counts), draw(st.sampled_from([0.03, 0.3, 2.0])), network)
    truth = Truth(line(draw(st.sampled_from([1.0, 20.0])), draw(st.sampled_from([0.5, 10.0]))), draw(st.sampled_from([0.0, 0.3])))
    failures = tuple(Failure(draw(st.floats(0.1, 3.0)), draw(st.sampled_from(names))) for _ in range(draw(st.integers(0, 3))))
    changes = ChangeTimes(draw(st.sampled_from([0.1, 1.0])), {"k": 0.2}, 0.05, draw(st.sampled_from([None, 0.1])), 0.3)
    devices = draw(st.sampled_from([{}, {"cpu": 8.0}]))
    made = scenario(initial, graph, arrivals=arrivals, truth=truth, failures=failures, changes=changes, devices=devices,
                    options=dict.fromkeys(names, OPTIONS), drain_s=draw(st.sampled_from([0.2, 30.0])),
                    gathering=draw(st.sampled_from([Gathering(), Gathering(4, 0.01, 6), Gathering(1, 0.0)])))
    policy = Restless(draw(st.integers(0, 99)), names, draw(st.sampled_from([0.25, 1.0]))) if draw(st.booleans()) else None
    return made, Control(policy, delay_s=draw(st.sampled_from([0.0, 1.5])))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenarios(), st.integers(0, 2**16))
def test_every_arrival_ends_in_exactly_one_outcome(case, seed):
    made, control = case
    run = simulate(made, control, seed)
    events = run.records.events(len(made.graph.stations))
    assert sorted(events.event.tolist()) == list(range(len(events)))
    assert len(events) == run.tally.events == sum(run.tally.outcomes)
    assert sum(second.arrived for second in run.records.seconds) <= len(events)
    late = events.finish_s > events.deadline_s
    assert not late[events.outcome == Outcome.IN_TIME].any()
    assert late[events.outcome == Outcome.LATE].all()
    assert (events.finish_s >= events.arrived_s)[events.outcome != Outcome.UNFINISHED].all()
    assert ((events.accuracy >= 0) & (events.accuracy <= 1)).all()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenarios(), st.integers(0, 2**16))
def test_one_seed_is_one_outcome_byte_for_byte(case, seed):
    made, control = case
    first, second = (simulate(made, control, seed) for _ in range(2))
    stations = len(made.graph.stations)
    assert first.records.events(stations).tobytes() == second.records.events(stations).tobytes()
    assert first.records.actions == second.records.actions
    assert first.records.seconds == second.records.seconds


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(scenarios(), st.integers(0, 2**16))
def test_records_change_nothing(case, seed):
    made, control = case
    with_records, without = simulate(made, control, seed), simulate(made, control, seed, records=False)
    assert with_records.tally.outcomes.tolist() == without.tally.outcomes.tolist()
    assert with_records.held_s == without.held_s
    assert without.records is None


def test_records_do_not_even_change_rounding():
    made = scenario({"a": (Share(OPTIONS[0], 3),)}, counts=[50.0] * 3, failures=(Failure(0.1, "a"), Failure(0.7, "a")),
                    changes=ChangeTimes(0.1, {}, 0.05, None, 0.3))
    assert simulate(made).held_s == simulate(made, records=False).held_s
