"""Which variant each device of a fixed cluster hosts, and how the demand is shared out: most accuracy for what is asked.

    i, t      device, its kind; D[t] units there are of a kind, a replica takes c[j]
    j, k      hosted option (a variant on a kind, at its batch), the family of queries it answers
    s[k]      rows/s of family k
    p[j]      rows/s of one replica, whole
    A[j]      accuracy, % of the family's best
    beta      over-provision; above 1 headroom, below 1 the part of the demand that must be served

    Per device (published):  x[i,j] in {0, 1}, u[i,j] >= 0 rows/s sent to i while it hosts j (the product z * x), y[i] rows/s served
        maximise    sum of A[j] * u[i,j] / sum of s / 100
        subject to  sum over j of x[i,j] <= 1                                        (one variant)
                    u[i,j] <= s[k] * x[i,j]                                          (hosted)
                    sum over i and j of k of u[i,j] = s[k]                           (all of it sent)
                    y[i] <= sum of p[j] * x[i,j];  y[i] <= max(beta, 1) * sum of u[i,j]     (served)
                    sum of y >= beta * sum of s                                      (provision)

    Aggregated:  N[j] integer replicas, u[j] >= 0, y[j]; the same with N for x and no i
                    sum over j of kind t of c[j] * N[j] <= D[t]                      (capacity)
                    sum over j of one variant of N[j] <= most                        (most)
                    sum over j of kind t and family k of c[j] * N[j] <= F[t,k]       (placement, where families keep their devices)
                    y[j] <= p[j] * (N[j] - l[j] * e[j]);  e[j] >= N[j] - running[j]  (served, loading counted; l = part of the interval)

The two have the same value: devices of one kind with one option are alike, so u and y may be split evenly among them, and the other way
summed. The aggregated program grows with the options, not with the devices. What is sent counts for accuracy even where it is not served (beta < 1), as
published. gap: HiGHS stops when (bound - value) / value is no more; the value is then at least optimum / (1 + gap). Proteus was released with 0.5.

Source: Proteus (ASPLOS 2024), section 4, and its released program; `<=` for "exactly one variant", since a device may idle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from autoscaler.planner.model import Option


@dataclass(frozen=True, slots=True)
class Hosting:
    """A replica of `option` answering `family`. throughput: rows/s, p. accuracy: %, A. loading: part of the interval a new one loads, 0..1.
    most: replicas there may be of its variant in the family."""

    family: str
    option: Option
    throughput: float
    accuracy: float
    loading: float = 0.0
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Fleet:
    """devices: units by kind. demand: rows/s by family. placed: units by (kind, family), where families keep them; None = they need not."""

    hostings: tuple[Hosting, ...]
    devices: Mapping[str, float]
    demand: Mapping[str, float]
    placed: Mapping[tuple[str, str], float] | None = None
    running: Mapping[Hosting, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """replicas, rates: by hosting, in the fleet's order. value: of the objective, 0..1. bound: none is better. beta: provided for."""

    replicas: tuple[int, ...]
    rates: tuple[float, ...]
    value: float
    bound: float
    beta: float


class _Program:
    """Rows of a linear program, collected one by one."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.entries: list[tuple[int, int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def row(self, terms: Mapping[int, float], low: float = -np.inf, high: float = np.inf) -> None:
        self.entries += [(len(self.low), column, value) for column, value in terms.items()]
        self.low.append(low)
        self.high.append(high)

    def constraint(self) -> LinearConstraint:
        rows, columns, values = zip(*self.entries, strict=True)
        return LinearConstraint(coo_array((values, (rows, columns)), shape=(len(self.low), self.columns)).tocsr(), self.low, self.high)


def aggregated(fleet: Fleet, beta: float, gap: float = 0.0, time_limit_s: float | None = None) -> Placement | None:
    """By option and kind. None when nothing provides for beta (or nothing was found in time)."""
    hostings, total = fleet.hostings, sum(fleet.demand.values())
    if not hostings or total <= 0:
        return None
    count = len(hostings)
    n, u, y, e = (range(part * count, (part + 1) * count) for part in range(4))
    program = _Program(4 * count)
    _hold(program, fleet)
    for family, rate in fleet.demand.items():  # all of it sent
        program.row({u[j]: 1.0 for j, hosting in enumerate(hostings) if hosting.family == family}, rate, rate)
    for j, hosting in enumerate(hostings):
        program.row({u[j]: 1.0, n[j]: -fleet.demand[hosting.family]}, high=0.0)  # hosted
        program.row({y[j]: 1.0, n[j]: -hosting.throughput, e[j]: hosting.loading * hosting.throughput}, high=0.0)  # served
        program.row({y[j]: 1.0, u[j]: -max(beta, 1.0)}, high=0.0)
        program.row({e[j]: 1.0, n[j]: -1.0}, low=-float(fleet.running.get(hosting, 0)))
    program.row({y[j]: 1.0 for j in range(count)}, low=beta * total)  # provision
    accuracy = np.zeros(4 * count)
    accuracy[u.start:u.stop] = [hosting.accuracy / 100 / total for hosting in hostings]
    integral = np.zeros(4 * count)
    integral[n.start:n.stop] = 1
    found = _solve(accuracy, program, integral, np.full(4 * count, np.inf), gap, time_limit_s)
    if found is None:
        return None
    values, value, bound = found
    return Placement(tuple(round(values[column]) for column in n), tuple(max(float(values[column]), 0.0) for column in u), value, bound, beta)


def each_device(fleet: Fleet, beta: float, gap: float = 0.0) -> Placement | None:
    """As published, device by device; a replica takes one. For comparison: grows with devices times options."""
    devices = [kind for kind, units in fleet.devices.items() for _ in range(int(units))]
    total = sum(fleet.demand.values())
    pairs = [(i, j) for i, kind in enumerate(devices) for j, hosting in enumerate(fleet.hostings) if hosting.option.device == kind]
    if not pairs or total <= 0:
        return None
    x, u = range(len(pairs)), range(len(pairs), 2 * len(pairs))
    y = range(2 * len(pairs), 2 * len(pairs) + len(devices))
    program = _Program(y.stop)
    for place in range(len(devices)):
        own = [column for column, (i, _) in enumerate(pairs) if i == place]
        program.row({x[column]: 1.0 for column in own}, high=1.0)  # one variant
        program.row({y[place]: 1.0} | {x[column]: -fleet.hostings[pairs[column][1]].throughput for column in own}, high=0.0)  # served
        program.row({y[place]: 1.0} | {u[column]: -max(beta, 1.0) for column in own}, high=0.0)
    for column, (_, j) in enumerate(pairs):
        program.row({u[column]: 1.0, x[column]: -fleet.demand[fleet.hostings[j].family]}, high=0.0)  # hosted
    for family, rate in fleet.demand.items():  # all of it sent
        program.row({u[column]: 1.0 for column, (_, j) in enumerate(pairs) if fleet.hostings[j].family == family}, rate, rate)
    program.row({y[place]: 1.0 for place in range(len(devices))}, low=beta * total)  # provision
    accuracy, integral, most = np.zeros(y.stop), np.zeros(y.stop), np.full(y.stop, np.inf)
    accuracy[u.start:u.stop] = [fleet.hostings[j].accuracy / 100 / total for _, j in pairs]
    integral[x.start:x.stop] = 1
    most[x.start:x.stop] = 1
    found = _solve(accuracy, program, integral, most, gap, None)
    if found is None:
        return None
    values, value, bound = found
    replicas, rates = [0] * len(fleet.hostings), [0.0] * len(fleet.hostings)
    for column, (_, j) in enumerate(pairs):
        replicas[j] += round(values[x[column]])
        rates[j] += max(float(values[u[column]]), 0.0)
    return Placement(tuple(replicas), tuple(rates), value, bound, beta)


def most_served(fleet: Fleet) -> Placement | None:
    """The placement that serves most of the demand, whatever its accuracy, with a replica at least of every family; of equals the most
    accurate. None where the devices do not hold one of each."""
    hostings, total = fleet.hostings, sum(fleet.demand.values())
    if not hostings or total <= 0:
        return None
    count = len(hostings)
    program = _Program(2 * count)
    _hold(program, fleet)
    for family, rate in fleet.demand.items():
        program.row({count + j: 1.0 for j, hosting in enumerate(hostings) if hosting.family == family}, high=rate)
        program.row({j: 1.0 for j, hosting in enumerate(hostings) if hosting.family == family}, low=1.0)
    for j, hosting in enumerate(hostings):
        program.row({count + j: 1.0, j: -hosting.throughput}, high=0.0)
    # a ten-thousandth of the weight for accuracy breaks ties; the served part decides down to one row in ten thousand
    gain = np.concatenate([np.zeros(count), [(1 + 1e-6 * hosting.accuracy) / total for hosting in hostings]])
    integral = np.concatenate([np.ones(count), np.zeros(count)])
    found = _solve(gain, program, integral, np.full(2 * count, np.inf), 0.0, None)
    if found is None:
        return None
    values, _, _ = found
    served = values[count:]
    value = float(sum(rate * hosting.accuracy / 100 / total for rate, hosting in zip(served, hostings, strict=True)))
    return Placement(tuple(round(n) for n in values[:count]), tuple(max(float(rate), 0.0) for rate in served), value, value,
                     math.fsum(served) / total)


def _hold(program: _Program, fleet: Fleet) -> None:
    """What bounds the replicas, the program's first columns."""
    hostings = list(enumerate(fleet.hostings))
    for kind, units in fleet.devices.items():  # capacity
        program.row({j: hosting.option.units for j, hosting in hostings if hosting.option.device == kind}, high=units)
    for family, variant in {(hosting.family, hosting.option.variant): None for _, hosting in hostings}:  # most
        own = {j: hosting for j, hosting in hostings if (hosting.family, hosting.option.variant) == (family, variant)}
        program.row(dict.fromkeys(own, 1.0), high=min(hosting.most for hosting in own.values()))
    if fleet.placed is not None:  # placement
        for kind, family in {(hosting.option.device, hosting.family): None for _, hosting in hostings}:
            program.row({j: hosting.option.units for j, hosting in hostings if (hosting.option.device, hosting.family) == (kind, family)},
                        high=fleet.placed.get((kind, family), 0.0))


def _solve(gain: np.ndarray, program: _Program, integral: np.ndarray, most: np.ndarray, gap: float,
           time_limit_s: float | None) -> tuple[np.ndarray, float, float] | None:
    """Values, objective and bound of the maximum; None without a solution."""
    options = {"mip_rel_gap": gap} | ({"time_limit": time_limit_s} if time_limit_s is not None else {})
    result = milp(-gain, constraints=program.constraint(), integrality=integral, bounds=Bounds(0, most), options=options)
    if result.x is None:
        return None
    bound = result.mip_dual_bound if result.mip_dual_bound is not None else result.fun
    return result.x, -float(result.fun), -float(bound)
