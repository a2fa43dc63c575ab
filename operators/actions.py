"""What passes between a stage's state machine and whoever carries it out: its setting, batches, results, and the actions it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
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


class Cause(StrEnum):
    """Why a replica is gone.

    crash    ended by itself, or of a signal that only its own doing raises
    hung     killed by the service: no answer within the limit
    memory   killed while the system was short of memory, perhaps by its rows' doing
    killed   SIGKILL or SIGTERM from elsewhere
    stopped  killed by the service: somebody had stopped the process (SIGSTOP)
    """

    CRASH = "crash"
    HUNG = "hung"
    MEMORY = "memory"
    KILLED = "killed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Setting:
    """What can change while the stage serves.

    batch   rows per batch at most
    cores   of one replica, a multiple of 1/8
    window  rows a proxy may have unanswered
    spares  replica processes kept ready beside those that serve
    """

    variant: Variant
    replicas: int = 1
    batch: int = 64
    cores: float = 1
    window: int = 8192
    spares: int = 0


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
    cores: float
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
    cores: float


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
    memory: int = 0
