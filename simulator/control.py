"""The control loop in the simulator: a telemetry record each second, the policy at its interval, its targets carried out.

What runs is what the actuator knows now; rates, queues and violations are those of the newest second whose end is at least `delay_s` ago.
The policy is asked for the first time after its first interval, and no more once the trace has ended.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from autoscaler.planner.model import Problem
from autoscaler.policies.dispersion import POISSON, dispersion
from autoscaler.policies.need import LONGEST_S
from autoscaler.policies.policy import Decision, Policy, StageState, State
from autoscaler.policies.slowness import Slowness
from simulator.flow import Flow
from simulator.loop import Loop, Priority
from simulator.records import Records, Second
from simulator.scenario import Control
from simulator.site import Site
from simulator.source import Source

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Seen:
    """The figures of one second. at_s: its end. stages: without pools. dispersion: of the arrivals until then."""

    at_s: float
    rates: tuple[float, ...]
    spent_ms: tuple[float, ...]
    stages: Mapping[str, StageState]
    dispersion: float = POISSON


@dataclass(slots=True)
class _Counted:
    """Of one site, up to the last telemetry."""

    arrived: int = 0
    late: int = 0
    ended: int = 0
    busy_s: float = 0.0
    slowness: Slowness = field(default_factory=Slowness)


class Controller:
    """decisions: made so far. took_s: wall time in the policy and the forecaster, by `clock`; 0 without one."""

    def __init__(self, control: Control, problem: Problem, flow: Flow, source: Source, loop: Loop, records: Records | None,
                 clock: Clock | None) -> None:
        self.decisions = 0
        self.took_s = 0.0
        self._held_s: dict[str, float] = {}
        self._used_s = 0.0
        self._control, self._flow, self._source, self._loop, self._records = control, flow, source, loop, records
        self._problem = problem
        self._clock = clock or (lambda: 0.0)
        self._forecaster = copy.deepcopy(control.forecaster)
        self._rates: deque[float] = deque(control.past, maxlen=control.keep_s)
        self._counted = {name: _Counted() for name in flow.sites}
        self._arrived: deque[tuple[float, float]] = deque(maxlen=LONGEST_S)  # s, events: as counted here, not as given of before
        self._seen: deque[Seen] = deque()
        self._memory: object = None
        loop.at(1.0, Priority.TELEMETRY, self._telemetry)
        if control.policy is not None:
            self._ask_at(control.policy.interval_s, control.policy)

    # telemetry

    def _telemetry(self, now_s: float, _: None) -> None:
        arrived, spent_ms = self._source.arrived(now_s)
        self._rates.append(float(arrived))
        self._arrived.append((1.0, float(arrived)))
        self._follow(now_s)
        stages = {name: self._stage(name, site, now_s) for name, site in self._flow.sites.items()}
        self._seen.append(Seen(now_s, tuple(self._rates), spent_ms, stages, dispersion(self._arrived)))
        while len(self._seen) > 1 and self._seen[1].at_s + self._control.delay_s <= now_s:
            self._seen.popleft()
        held_s = self._flow.cluster.held_s(now_s)  # with or without records, so that both round alike
        if self._records is not None:
            self._record(now_s, arrived, held_s, {name: int(stage.rate) for name, stage in stages.items()})
        if self._source.done(now_s) and self._flow.sink.events == self._source.events:
            self._loop.stop()
        else:
            self._loop.at(now_s + 1.0, Priority.TELEMETRY, self._telemetry)

    def _stage(self, name: str, site: Site, now_s: float) -> StageState:
        counted, (late, ended), busy_s = self._counted[name], site.tallies(), site.busy_s(now_s)
        units = sum(pool.ready_units() for pool in site.pools)
        busy = min(1.0, max(0.0, (busy_s - counted.busy_s) / units)) if units else 0.0
        arrived, aside = site.arrived(now_s), site.aside()
        ratio = site.ratio(self._problem.stage(name))
        if ratio is not None:
            counted.slowness.observe(ratio, 1.0)
        seen = StageState((), site.parallelism, float(arrived - counted.arrived), site.true_rate, site.queued(now_s),
                          site.from_source.backlog(now_s), busy, busy, (late - counted.late + aside) / max(1, ended - counted.ended + aside),
                          counted.slowness.factor)
        self._counted[name] = _Counted(arrived, late, ended, busy_s, counted.slowness)
        return seen

    def _record(self, now_s: float, arrived: int, held_s: dict[str, float], rows: dict[str, int]) -> None:
        assert self._records is not None
        held = {kind: total - self._held_s.get(kind, 0.0) for kind, total in held_s.items()}
        self._held_s = held_s
        sites = self._flow.sites.items()
        used_s = sum(site.busy_s(now_s) for _, site in sites)
        before = self._used_s
        self._used_s = used_s
        self._records.seconds.append(Second(now_s, arrived, held, used_s - before, {name: site.queued(now_s) for name, site in sites},
                                            {name: sum(pool.ready for pool in site.pools) for name, site in sites}, rows,
                                            {name: sum(pool.throughput() for pool in site.pools) for name, site in sites}))

    def _follow(self, now_s: float) -> None:
        """Windows, as the replicas ordered have them."""
        windows = self._control.windows
        if windows is not None:
            for name, site in self._flow.sites.items():
                rows = windows(name, sum(pool.replicas for pool in site.pools if not pool.retiring))
                for proxy in site.proxies:
                    proxy.resize(rows, now_s)

    # decisions

    def _decide(self, now_s: float, policy: Policy) -> None:
        state = self._state(now_s)
        began = self._clock()
        forecast = self._forecaster.forecast(now_s, state.rates)
        decision = policy.decide(state, forecast, self._memory)
        self.took_s += self._clock() - began
        self.decisions += 1
        self._memory = decision.memory
        self._carry_out(decision, now_s)
        self._ask_at(now_s + policy.interval_s, policy)

    def _ask_at(self, time_s: float, policy: Policy) -> None:
        if not self._source.done(time_s):
            self._loop.at(time_s, Priority.DECISION, self._decide, policy)

    def _state(self, now_s: float) -> State:
        seen = [one for one in self._seen if one.at_s + self._control.delay_s <= now_s]
        newest = seen[-1] if seen else Seen(0.0, self._control.past, (), {name: StageState(()) for name in self._flow.sites})
        stages = {name: replace(newest.stages[name], pools=site.seen(), parallelism=site.parallelism) for name, site in self._flow.sites.items()}
        return State(now_s, newest.rates, stages, newest.spent_ms, newest.dispersion)

    def _carry_out(self, decision: Decision, now_s: float) -> None:
        for name, target in decision.targets.items():
            site = self._flow.sites[name]
            site.change(target.shares, now_s)
            if target.parallelism is not None and target.parallelism != site.parallelism:
                self._flow.acted(now_s, name, "parallelism", target.parallelism)
                site.rescale(target.parallelism)
                self._flow.stall(now_s + self._flow.stall_s)
