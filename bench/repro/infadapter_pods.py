"""InfAdapter's pods in the simulator: n cores that answer single rows side by side, calibrated so that they carry what was measured.

    pod         one variant on n cores; n inter-op threads, so c rows at a time, each for s ms on average
    p99(lam)    of M/G/c at lam rows/s: p99 of s with the headline's noise + p99 of the wait                       (planner.free_replica)
    s(SLA)      p99(capacity(SLA)) = SLA, by bisection, of each SLA whose row has a p99; rows without one are left out
    c           1, n / 2, n or 2 n, whichever makes the s of the four SLAs agree best
    s           their geometric mean
    residual    of a row: p99(capacity) / SLA - 1, and how far the capacity of the calibrated pod is from the table's

In 38 of the table's rows the capacity is above the saturation throughput, so the latter is not used. In the simulator a pod is c servers
that come and go together (`Pods`): the variant of a pod, "50@8", is another one than "50@10", so its successor starts beside it and takes over
when it is ready, as InfAdapter and VPA+ do. What a policy sees and asks for are pods.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import exp, inf, log, sqrt
from statistics import NormalDist, fmean, pstdev

from autoscaler.planner.free_replica import Station, erlang_c, mgc_mean_ms, tail_quantile_ms
from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.policies.policy import Decision, Forecast, Policy, Pool, StageState, State, Target
from bench.published import data_file
from bench.published.accuracy import INFADAPTER
from bench.repro.level import HEADLINE

SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Row:
    """Of the table, with a p99."""

    variant: str
    cores: int
    sla_ms: float
    capacity: float


@dataclass(frozen=True, slots=True)
class Pod:
    """servers: c. service_ms: s. p99: by SLA, p99(capacity) / SLA - 1, inf where it is more than the pod carries; capacity: by SLA, the pod's /
    the table's - 1."""

    variant: str
    cores: int
    servers: int
    service_ms: float
    p99: Mapping[float, float]
    capacity: Mapping[float, float]

    @property
    def name(self) -> str:
        return f"{self.variant}@{self.cores}"

    def server(self) -> Option:
        """One of its servers: what the simulator runs."""
        cores = self.cores / self.servers
        return Option(self.name, 1, cores, self.service_ms, 1000 / self.service_ms, INFADAPTER[self.variant], cores)


def rows() -> list[Row]:
    with data_file("infadapter", "capacity_result_Feb_21.csv").open(encoding="utf-8", newline="") as lines:
        return [Row(line["ARCH"], int(line["CPU"]), float(line["SLA"]), float(line["capacity"])) for line in csv.DictReader(lines)
                if line["p99_latency"] and float(line["capacity"]) > 0]


@functools.cache
def pods() -> tuple[Pod, ...]:
    """Every calibrated pod, in the table's order."""
    by_pod: dict[tuple[str, int], list[Row]] = {}
    for row in rows():
        by_pod.setdefault((row.variant, row.cores), []).append(row)
    return tuple(calibrated(of_pod) for of_pod in by_pod.values())


def by_name() -> dict[str, Pod]:
    return {pod.name: pod for pod in pods()}


def calibrated(of_pod: list[Row]) -> Pod:
    """From the rows of one variant and number of cores."""
    first = of_pod[0]
    fits = {servers: [service_at(row.capacity, row.sla_ms, servers) for row in of_pod]
            for servers in sorted({1, max(1, first.cores // 2), first.cores, 2 * first.cores})}
    servers = min(fits, key=lambda count: (round(pstdev(log(value) for value in fits[count]), 6), abs(count - first.cores)))
    service_ms = exp(fmean(log(value) for value in fits[servers]))
    return Pod(first.variant, first.cores, servers, service_ms,
               {row.sla_ms: p99_ms(row.capacity, service_ms, servers) / row.sla_ms - 1 for row in of_pod},
               {row.sla_ms: capacity_at(service_ms, row.sla_ms, servers) / row.capacity - 1 for row in of_pod})


def p99_ms(rate: float, service_ms: float, servers: int) -> float:
    """Of M/G/c with the headline's noise; inf from saturation on."""
    scv = HEADLINE.cv**2
    station = Station(rate, service_ms, servers, service_scv=scv)
    if station.utilization >= 1:
        return inf
    width = log(1 + scv)
    own = service_ms * exp(-width / 2 + NormalDist().inv_cdf(SHARE) * sqrt(width))
    return own + tail_quantile_ms(mgc_mean_ms(station), erlang_c(servers, station.load), SHARE)


def service_at(rate: float, sla_ms: float, servers: int) -> float:
    """s with p99(rate) = SLA."""
    return _bisected(1e-3, sla_ms, lambda service_ms: p99_ms(rate, service_ms, servers) <= sla_ms)


def capacity_at(service_ms: float, sla_ms: float, servers: int) -> float:
    """Greatest rate with p99 <= SLA."""
    return _bisected(0.0, 1000 * servers / service_ms, lambda rate: p99_ms(rate, service_ms, servers) <= sla_ms)


def _bisected(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """The greatest value that holds; it holds up to one and not beyond."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def residuals() -> dict[str, float]:
    """Of all rows: medians of the distances, how many rows ask for more than the pod carries, and the most a capacity is off."""
    latencies = sorted(abs(value) for pod in pods() for value in pod.p99.values())
    capacities = sorted(abs(value) for pod in pods() for value in pod.capacity.values())
    return {"rows": len(latencies), "p99_median": latencies[len(latencies) // 2], "beyond": sum(value == inf for value in latencies),
            "capacity_median": capacities[len(capacities) // 2], "capacity_most": capacities[-1]}


def simulated(given: Problem) -> Problem:
    """The problem of the servers: what the scenario runs. Rate, SLO and objective as given; as many devices as it takes."""
    (stage,) = given.stages
    return replace(given, stages=(StageModel(stage.name, tuple(pod.server() for pod in pods())),), devices={})


def pod_option(server: Option, servers: int) -> Option:
    """The pod of such servers, as a policy plans with it: its rows/s, the latency of a row."""
    variant, _, cores = server.variant.partition("@")
    return replace(server, variant=variant, units=float(cores), cost=float(cores), throughput=servers * server.throughput)


def of_pods(problem: Problem) -> Problem:
    """A problem of servers as one of pods."""
    counts = {pod.name: pod.servers for pod in pods()}
    return replace(problem, stages=tuple(replace(stage, options=tuple(pod_option(option, counts[option.variant]) for option in stage.options))
                                         for stage in problem.stages))


@dataclass(frozen=True, slots=True)
class Pods:
    """policy: plans with pods. known: them, by name. Servers are shown to it as pods, its pods are asked for as servers."""

    policy: Policy
    known: Mapping[str, Pod]

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def interval_s(self) -> float:
        return self.policy.interval_s

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        problem: Problem = self.policy.problem  # type: ignore[attr-defined]
        options = {stage.name: {(option.variant, option.units): option for option in stage.options} for stage in problem.stages}
        stages = {name: _seen(stage, self.known, options[name]) for name, stage in state.stages.items()}
        decision = self.policy.decide(replace(state, stages=stages), forecast, memory)
        targets = {name: Target(tuple(_servers(share, self.known) for share in target.shares if share.replicas)) for name, target in decision.targets.items()}
        return replace(decision, targets=targets, plan=None)


def _seen(stage: StageState, known: Mapping[str, Pod], options: Mapping[tuple[str, float], Option]) -> StageState:
    found = []
    for pool in stage.pools:
        pod = known[pool.option.variant]
        option = options[pod.variant, float(pod.cores)]
        replicas, ready = pool.replicas // pod.servers, pool.ready // pod.servers
        found.append(Pool(option, ready, replicas - ready, pool.share))
    return replace(stage, pools=tuple(found))


def _servers(share: Share, known: Mapping[str, Pod]) -> Share:
    pod = known[f"{share.option.variant}@{share.option.units:g}"]
    return Share(pod.server(), share.replicas * pod.servers, share.share)
