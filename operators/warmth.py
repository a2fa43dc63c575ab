"""Rows and batch sizes that a new replica is warmed with before it takes rows: the first batches of a network are its slowest.

Rows are those answered last without an error, else zeros where the operator says how long a row is; without either nothing is warmed.
Sizes are a single row, the middle and the largest of the last batches, and the largest that the setting and BATCH_BYTES allow.
"""

from __future__ import annotations

from collections import deque

from operators.protocol.rows import decode, encode

ROWS_KEPT = 64
BYTES_KEPT = 1 << 20
BATCH_BYTES = 4 << 20  # of a warming batch; rows that are long make it smaller
SAMPLE_S = 0.5  # new sample rows are taken no more often
SIZES_KEPT = 64


class Warmth:
    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._sizes: deque[int] = deque(maxlen=SIZES_KEPT)
        self._due = 0.0

    def sent(self, rows: int) -> None:
        """A batch of so many rows went to a replica."""
        self._sizes.append(rows)

    def wants(self, now: float) -> bool:
        return now >= self._due

    def take(self, tensor: memoryview | bytes, count: int, now: float) -> None:
        """Rows that an operator could answer."""
        self._due = now + SAMPLE_S
        rows, size = [], 0
        for row in decode(tensor, count)[:ROWS_KEPT]:
            size += len(row)
            if size > BYTES_KEPT:
                break
            rows.append(row)
        self._rows = rows or self._rows

    def forget(self) -> None:
        """A replica died of them."""
        self._rows = []

    def batches(self, batch_max: int, row_bytes: int | None) -> list[tuple[int, bytes]]:
        """Rows and their tensor. row_bytes: `Operator.row_bytes`."""
        rows = self._rows or ([bytes(row_bytes)] if row_bytes is not None else [])
        if not rows:
            return []
        most = max(1, min(batch_max, BATCH_BYTES // max(1, *map(len, rows))))
        used = sorted(min(size, most) for size in self._sizes)
        sizes = {1, most, *([used[len(used) // 2], used[-1]] if used else [])}
        return [(size, encode([rows[at % len(rows)] for at in range(size)])) for size in sorted(sizes)]
