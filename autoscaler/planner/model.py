"""What the planner plans: a graph of stages, the ways each may run, what there is to spend, and what is best.

A stage's options, replicas and rate give its time in the stage; the longest way through the graph must meet the SLO.

    rate(v)     rows/s at stage v = sum over its terms of factor(variant of the term's stage) * rate(that stage); the source's is given
    demand(v)   rows/s to size for, from rate(v)                                                     (Sizing.demand)
    time(v)     ms in the stage = latency(o) + wait(o, rate, n), rounded up to the grid              (Sizing.wait_ms)
    n(v)        replicas, n * throughput(o) >= demand(v), least .. most
    deadline    for every way through the graph: sum of time(v) <= slo (strict: <)
    capacity    for every kind: sum of n * uses(o)[kind] <= devices[kind]
    accuracy    of the whole graph, by an AccuracyRule
    price       sum of n * cost(o) + what the change from the running plan costs

With shares a stage runs several variants at once, each with its own option and replicas for its share of the rate; its time is the
longest of theirs, its accuracy the mean by share, its uses and cost the sum.

Everything here is a value: no behaviour beyond what the fields say. The solvers (`frontier`, `exhaustive`, `milp`) read the same
problem; `evaluate` recomputes a plan's figures from the problem alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

CPU = "cpu"
MEMORY = "memory_gb"


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run a replica of a stage.

    batch        rows per batch
    device       kind of what it runs on, a key of `Problem.devices`
    units        of that kind per replica: cores, or GPU slots
    latency_ms   of one batch of that many rows, > 0
    throughput   rows/s of one replica, > 0; 1000 * batch / latency_ms unless a paper rounds it
    accuracy     0..1, share of right answers (or the paper's own scale)
    cost         of one replica, >= 0, in the unit of the objective
    memory_gb    of one replica
    """

    variant: str
    batch: int
    units: float
    latency_ms: float
    throughput: float
    accuracy: float
    cost: float
    device: str = CPU
    memory_gb: float = 0.0

    def uses(self) -> dict[str, float]:
        """Units per replica by kind; memory is a kind like any other."""
        return {self.device: self.units, MEMORY: self.memory_gb} if self.memory_gb else {self.device: self.units}


@dataclass(frozen=True, slots=True)
class RateTerm:
    """Rows that reach a stage for each row of another one: factor * by_variant[variant of `origin`] (1 where it names none).

    origin None is the source. A branch's probability, a fan-out's width and a detector that finds more are all factors.
    """

    origin: str | None = None
    factor: float = 1.0
    by_variant: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GivenVariant:
    """Accuracy of a stage that depends on the variant of an earlier one (Loki's end-to-end table).

    table: (variant of `origin`, own variant) to accuracy; a pair it does not name may not be chosen.
    """

    origin: str
    table: Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class StageModel:
    """after: stages that must be done before it; () = it comes right after the source.

    rates   where its rows come from; () = the sum over `after`, factor 1 (the source when that is empty too)
    weight  share of the events that its accuracy bears on, 0..1
    least, most  replicas of each variant that is used
    share_step   grid of the shares of several variants at once; None = one variant
    """

    name: str
    options: tuple[Option, ...]
    after: tuple[str, ...] = ()
    rates: tuple[RateTerm, ...] = ()
    accuracy_given: GivenVariant | None = None
    weight: float = 1.0
    least: int = 1
    most: int = 1000
    share_step: float | None = None

    def rate_terms(self) -> tuple[RateTerm, ...]:
        if self.rates:
            return self.rates
        return tuple(RateTerm(name) for name in self.after) or (RateTerm(None),)


class AccuracyRule(StrEnum):
    """Of the whole graph, from the stages' a(v) and weights w(v).

    PRODUCT  product of a(v)^w(v)          (IPA, revised: PAS; exact where errors are independent, which Loki's table shows they are not)
    SUM      sum of w(v) * a(v)            (IPA v1, on rank-normalised accuracies)
    MEAN     sum of w(v) * a(v) / sum of w(v)
    """

    PRODUCT = "product"
    SUM = "sum"
    MEAN = "mean"


class Kind(StrEnum):
    """What a delay formula gives."""

    MEAN = "mean"
    QUANTILE = "quantile"
    BOUND = "bound"


class Sizing(Protocol):
    """How much to size for and how long a row waits. Implementations: `planner.queueing`, pure and hashable."""

    kind: Kind

    def demand(self, rate: float) -> float:
        """rows/s to carry when `rate` arrive."""

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        """ms between arrival and the start of the row's batch; inf when the queue would grow for ever."""

    def falls_with_replicas(self) -> bool:
        """Whether more replicas than carry the demand shorten the wait; where not, solvers take the least number."""


class Objective(Protocol):
    """Which plan is best, from totals alone. Implementations: `planner.objectives`."""

    def value(self, totals: Totals) -> tuple[float, ...]:
        """Greater is better, compared in order; monotone: never worse for less price, never worse for more accuracy."""

    def allows(self, totals: Totals) -> bool:
        """Whether budget and least accuracy hold. Monotone too."""

    def needs_accuracy(self) -> bool:
        """Whether accuracy enters at all; if not, solvers keep no label for it."""


@dataclass(frozen=True, slots=True)
class Totals:
    """cost: sum of n * cost(o). change: price of switching. batches: sum of batch sizes (IPA's tie-break). used: by kind."""

    cost: float
    accuracy: float
    batches: float = 0.0
    change: float = 0.0
    used: Mapping[str, float] = field(default_factory=dict)


class Switching(Protocol):
    """Prices the way from what runs to what is planned, stage by stage. Implementations: `planner.switching`."""

    def price(self, stage: str, shares: tuple[Share, ...]) -> float:
        """In the unit of cost; 0 where nothing changes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """rate: events/s of the source. slo_ms: end to end. devices: units there are of each kind; a kind it does not name is unlimited.

    grid_ms  step of the latency axis; a stage's time is rounded up to it, so a plan that fits the grid fits in truth
    strict   the deadline is < instead of <=, as some published code has it
    """

    stages: tuple[StageModel, ...]
    rate: float
    slo_ms: float
    objective: Objective
    sizing: Sizing
    devices: Mapping[str, float] = field(default_factory=dict)
    accuracy: AccuracyRule = AccuracyRule.PRODUCT
    switching: Switching | None = None
    grid_ms: float = 1.0
    strict: bool = False

    def stage(self, name: str) -> StageModel:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Share:
    """One variant of a stage at work: its option, its part of the stage's rows (0..1], its replicas."""

    option: Option
    replicas: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class StagePlan:
    """shares: one, or several variants at once. rate: rows/s. time_ms: in the stage, on the grid."""

    name: str
    shares: tuple[Share, ...]
    rate: float
    time_ms: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A solver's answer. value: of the objective.

    exact  proven best for the problem as stated
    gap    proven bound on how much better the best may be, in the first component of `value`; 0 when exact
    """

    stages: tuple[StagePlan, ...]
    totals: Totals
    latency_ms: float
    value: tuple[float, ...]
    exact: bool
    gap: float = 0.0

    def stage(self, name: str) -> StagePlan:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No plan meets the problem. binding: what stands in the way, e.g. "slo", "cpu", "budget", "accuracy", "replicas".

    Each relaxation alone would make it feasible; None where it cannot.

    least_slo_ms  the smallest SLO
    added         units of each kind to add, by kind
    largest_rate  events/s that can be served as it is
    proven        False when the search ended before it was sure
    """

    binding: tuple[str, ...]
    least_slo_ms: float | None = None
    added: Mapping[str, float] = field(default_factory=dict)
    largest_rate: float | None = None
    proven: bool = True
