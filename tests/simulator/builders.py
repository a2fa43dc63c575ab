"""Small pipelines to simulate; everything a case is not about has a default."""

import numpy as np

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Decision, Target
from simulator.arrivals import Arrivals, Poisson, Stamps
from simulator.network import Graph, Station, chain
from simulator.proxy import Gathering
from simulator.records import Events
from simulator.scenario import Scenario
from simulator.truth import Truth

AT_ONCE = Gathering(max_rows=1, linger_s=0.0, window=10**9)
"""Every row is sent by itself when it comes: no micro-batches, no window."""


def option(variant="m", batch=1, units=1.0, latency_ms=10.0, accuracy=0.9, device="cpu", cost=None):
    return Option(variant, batch, units, latency_ms, 1000 * batch / latency_ms, accuracy, units if cost is None else cost, device)


def fixed(latency_ms):
    """The same mean for every batch."""
    return lambda stage, option, rows: latency_ms


def line(fixed_ms, row_ms):
    return lambda stage, option, rows: fixed_ms + row_ms * rows


def scenario(initial=None, graph=None, counts=(100.0,) * 10, slo_s=1.0, truth=None, arrivals=None, options=None, **fields):
    """initial: by stage, shares; a chain of them where there is no graph. options: of each stage beside those that run."""
    initial = initial or {"a": (Share(option(), 2),)}
    graph = graph or chain(*(Station(name) for name in initial))
    assert isinstance(graph, Graph)
    stages = tuple(StageModel(name, tuple({share.option: None for share in shares} | dict.fromkeys((options or {}).get(name, ()))))
                   for name, shares in initial.items())
    problem = Problem(stages, 100.0, 1000 * slo_s, LeastCost(), FillWait())
    fields.setdefault("changes", ChangeTimes(3.0, {}, 0.05, None, 4.0))
    return Scenario(problem, graph, arrivals or Arrivals(Poisson(counts), slo_s), truth or Truth(fixed(5.0)), initial, **fields)


def by_stage(**latency_ms):
    """A mean for each stage, the same for every batch."""
    return lambda stage, option, rows: latency_ms[stage]


def at(*times_s, slo_s=1.0, network=None):
    """Events sent at these times."""
    return Arrivals(Stamps(np.array(times_s, float)), slo_s, network)


class Scripted:
    """A policy that says what the script says: seconds to targets by stage."""

    name = "scripted"

    def __init__(self, script, interval_s=1.0):
        self.script, self.interval_s, self.states, self.forecasts = script, interval_s, [], []

    def decide(self, state, forecast, memory=None):
        self.states.append(state)
        self.forecasts.append(forecast)
        targets = self.script.get(state.now_s, {})
        return Decision({name: target if isinstance(target, Target) else Target(target) for name, target in targets.items()}, None, "as written")


def events_of(run, stations=1):
    """The records in order of sending."""
    events = run.records.events(stations)
    order = np.argsort(events.event)
    return Events(*(getattr(events, name)[order] for name in Events.__slots__))
