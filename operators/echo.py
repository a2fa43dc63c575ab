"""Operators without a model, for tests and measurements."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from operators.operator import Operator, Variant


class Echo(Operator):
    """Each row as it is, with the variant's option `suffix` behind it."""

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        self._suffix = str(variant.options.get("suffix", "")).encode()

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        suffix = self._suffix
        return [row + suffix for row in rows] if suffix else rows


class Sleeper(Echo):
    """Sleeps `sleep_ms` per batch and `row_ms` per row."""

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        options = self.variant.options
        time.sleep((float(str(options.get("sleep_ms", 0))) + float(str(options.get("row_ms", 0))) * len(rows)) / 1000)
        return super().infer(rows)


class Burner(Echo):
    """Computes for `burn_ms` of CPU time per batch."""

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        end_s = time.thread_time() + float(str(self.variant.options.get("burn_ms", 0))) / 1000
        while time.thread_time() < end_s:
            pass
        return super().infer(rows)


class Faulty(Sleeper):
    """Rows that begin with `raise` raise, with `exit` end the process, with `crash` crash it, with `hang` never return."""

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        for row in rows:
            if row.startswith(b"raise"):
                raise ValueError(f"cannot take {row.decode(errors='replace')}")
            if row.startswith(b"exit"):
                os._exit(7)
            if row.startswith(b"crash"):
                os.kill(os.getpid(), signal.SIGSEGV)
            if row.startswith(b"hang"):
                signal.pause()
        return super().infer(rows)


class Splitter(Operator):
    """The parts of the row between commas; an empty row has none."""

    fans_out = True

    def infer(self, rows: Sequence[bytes]) -> Sequence[list[bytes]]:
        return [row.split(b",") if row else [] for row in rows]


class Broken(Operator):
    """Cannot be loaded."""

    def __init__(self, variant: Variant, cores: int) -> None:
        raise RuntimeError("this operator never loads")
