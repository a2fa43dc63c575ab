"""What passes between a stage's state machine and whoever carries it out: its setting, batches, results, and the actions it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batching import Reason
from operators.operator import Variant
from operators.queue import Run


class Status(IntEnum):
    OK = 0
    LATE = 1
    FAILED = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """What can change while the stage serves. batch: rows per batch at most; window: rows a proxy may have unanswered."""

    variant: Variant
    replicas: int = 1
    batch: int = 64
    cores: int = 1
    window: int = 8192


@dataclass(slots=True, eq=False)
class Batch:
    runs: list[Run]
    rows: int
    reason: Reason
    sent_at: float
    suspect: Suspect | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a replica made of a batch.

    failed   uint8 per row of the batch, 0 ok, 2 failed; None = all ok
    reasons  `reason: detail` by position in the batch, of the failed rows
    payload  the caller's own; passed on with the answers
    """

    compute_s: float
    failed: NDArray[np.uint8] | None = None
    reasons: dict[int, str] = field(default_factory=dict)
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Start:
    replica: int
    variant: Variant
    cores: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Runs nothing any more; ends without a `died`."""

    replica: int


@dataclass(frozen=True, slots=True)
class Kill:
    """It hangs; `replica_died` follows."""

    replica: int


@dataclass(frozen=True, slots=True)
class Resize:
    replica: int
    cores: int


class Send(NamedTuple):  # as Answer and Wake: made for every batch, at a third of the cost of a frozen dataclass
    replica: int
    batch: Batch


class Answer(NamedTuple):
    """Rows of one request, answered. status uint8 per row; reasons one per row that is not answered, in order.

    With `result`, the rows are the `part`-th run of its batch and begin at position `first` of it.
    """

    run: Run
    status: NDArray[np.uint8]
    late: int
    failed: int
    queue_s: float
    reasons: list[str]
    variant: Variant
    result: Result | None = None
    part: int = 0
    first: int = 0


class Wake(NamedTuple):
    """Call `tick` at this time."""

    at: float


Action = Start | Stop | Kill | Resize | Send | Answer | Wake


@dataclass(slots=True, eq=False)
class Suspect:
    """Rows that were running when a replica died; the counts only grow while it is a single row."""

    runs: list[Run]
    rows: int
    deaths: int = 0
    outside: int = 0
