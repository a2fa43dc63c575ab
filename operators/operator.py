"""What an author writes: a class that turns rows into answers. It runs in a replica process, never in Flink.

    class Upper(Operator):
        def infer(self, rows):
            return [row.upper() for row in rows]

A row is the bytes of one event, an answer the bytes that replace it. An operator that fans out sets `fans_out = True`
and answers a list of bytes per row, each of which becomes an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class RowError:
    """The answer to a row that the operator cannot process: `reason` is one of the dead letters' reasons, `detail` free text."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a stage's operator.

    accuracy  share of right answers, 0..1, as the pipeline file states it
    options   whatever else the file says of the variant, for the operator to read
    version   of the model in the repository; "1" where the operator has no stored model
    model_dir where the repository keeps this version's files; None where there are none
    """

    name: str
    accuracy: float
    options: Mapping[str, object] = field(default_factory=dict)
    version: str = "1"
    model_dir: Path | None = None

    @property
    def served(self) -> tuple[str, str]:
        """Name and version: what tells apart those that serve a stage."""
        return self.name, self.version


class Operator:
    """Base of all operators. The constructor loads and warms what it needs; `cores` is the number of threads it may use.

    fans_out  answers are lists
    stateful  rows are turns of keys (operators/stateful.py)
    model     name of the stored model in the repository; None = there is none
    row_bytes length of every row, where zeros are a row like any other: a replica is warmed with such before any was seen; None = not known
    """

    fans_out: bool = False
    stateful: bool = False
    model: str | None = None
    row_bytes: int | None = None

    def __init__(self, variant: Variant, cores: int) -> None:
        self.variant = variant
        self.cores = cores

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | list[bytes] | RowError]:
        """One answer per row, in the rows' order. Raising fails the batch, which is then halved down to the row at fault."""
        raise NotImplementedError

    def makes_children(self) -> bool:
        """Whether an event may get any number of answers, each an event of its own."""
        return self.fans_out

    def state_facts(self) -> dict[str, Any] | None:
        """Of one with state: which versions of it it writes and reads."""
        return None

    def others_met(self) -> Sequence[int]:
        """Of one with state: versions other than its own whose states came since it was last asked."""
        return ()

    def resize(self, cores: int) -> None:
        """Called between batches when the number of cores changes."""
        self.cores = cores
