"""A pipeline as every part of Sluice sees it: plain values, checked by the reader, no behaviour beyond what the fields say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from autoscaler.graph.scaling import Scaling


class Order(StrEnum):
    NONE = "none"
    KEY = "key"


class Delivery(StrEnum):
    AT_LEAST_ONCE = "at-least-once"
    EXACTLY_ONCE = "exactly-once"


class OnLate(StrEnum):
    ANSWER = "answer"
    DEAD_LETTER = "dead-letter"


class Objective(StrEnum):
    ACCURACY = "accuracy"
    COST = "cost"
    BALANCED = "balanced"


class Format(StrEnum):
    RAW = "raw"
    JSON = "json"


class Incomplete(StrEnum):
    """What becomes of a joined parent whose children did not all arrive within the horizon."""

    PARTIAL = "partial"
    DEAD_LETTER = "dead-letter"


SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    partitions: int = 2
    format: Format = Format.RAW


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """accuracy: share of right answers, 0..1. options: further keys of the file, handed to the operator."""

    name: str
    accuracy: float
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replicas:
    """spares: processes kept ready beside those that serve."""

    initial: int = 1
    min: int = 1
    max: int = 4
    spares: int = 1


@dataclass(frozen=True, slots=True)
class Output:
    """fields: name to Flink SQL type, for conditions of the stages after this one; JSON only."""

    format: Format = Format.RAW
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What a stage keeps of each key.

    ttl_ms     a key without an event for so long, by the events' timestamps, starts anew
    field      of the row's JSON object that holds the key; None = the event's own key
    max_bytes  of the state of one key
    """

    ttl_ms: float
    field: str | None = None
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """What a foreign endpoint expects.

    name      of the model; None = the stage's
    version   of the model; empty = the endpoint's choice
    input     name of the input tensor
    datatype  of the protocol; BYTES = a row is one element, else a row is the raw tensor
    shape     of one row, without the batch
    """

    name: str | None = None
    version: str = ""
    input: str = "rows"
    datatype: str = "BYTES"
    shape: tuple[int, ...] = ()
    timeout_ms: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of the graph.

    after     stages (or "source") whose events come here; never empty
    input     stage (or "source") whose value is the row; None = the latest value of the event
    when      Flink SQL boolean over the fields of `after`; None = every event
    join      fan-out stage whose children come together before this stage; None = no join
    operator  "module:Class"; None for a join without an operator, and where a foreign endpoint serves the stage
    batch_max rows per batch at most
    cores     of one replica, a multiple of 1/8
    """

    name: str
    after: tuple[str, ...]
    operator: str | None
    variants: tuple[VariantSpec, ...]
    variant: str | None
    input: str | None = None
    when: str | None = None
    fan_out: bool = False
    join: str | None = None
    on_late: OnLate = OnLate.ANSWER
    parallelism: int = 1
    batch_max: int = 64
    replicas: Replicas = Replicas()
    cores: float = 1
    output: Output = Output()
    endpoint: str | None = None
    """host:port of a foreign v2 endpoint that serves this stage instead of our service; None = ours."""
    model: ForeignModel | None = None
    """Only with an endpoint."""
    state: State | None = None
    """What is kept of each key, whose events then come in order; None = nothing."""

    @property
    def most_accurate(self) -> VariantSpec:
        """ValueError where it has no variants."""
        return max(self.variants, key=lambda variant: variant.accuracy)

    @property
    def is_plain_join(self) -> bool:
        """Whether nothing is computed here: the array of the children's values is the output."""
        return self.operator is None and self.endpoint is None

    @property
    def is_ours(self) -> bool:
        """Whether our service runs it."""
        return self.operator is not None and self.endpoint is None

    def shares_model(self, other: Stage) -> bool:
        """Whether both may run the same version of a model, and an event that passes both is to meet one. Not where one keeps state."""
        alike = self.is_ours and other.is_ours and self.operator == other.operator and self.state is None and other.state is None
        return alike and any(mine.name == theirs.name for mine in self.variants for theirs in other.variants)


@dataclass(frozen=True, slots=True)
class Join:
    horizon_ms: float = 2000.0
    incomplete: Incomplete = Incomplete.PARTIAL


@dataclass(frozen=True, slots=True)
class Budget:
    cores: int | None = None
    replicas: int | None = None
    gpu_slots: int | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """slo_ms end to end; slo_share 0..1 of the events must meet it. Stages are in the file's order, which is topological."""

    name: str
    slo_ms: float
    source: Topic
    sink: Topic
    dead_letters: Topic
    stages: tuple[Stage, ...]
    slo_share: float = 0.99
    objective: Objective = Objective.ACCURACY
    budget: Budget = Budget()
    order: Order = Order.NONE
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    join: Join = Join()
    autoscaler: Scaling = Scaling()

    def orders_after(self, stage: Stage) -> bool:
        """Whether events are put back into the source's order behind this stage, so that one that waits there holds up those after it."""
        return self.order is Order.KEY or any(later.state is not None for later in self.stages[self.stages.index(stage) + 1 :])

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

