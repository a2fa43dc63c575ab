"""The protocol's BYTES tensor: of each row its length (4 bytes, little-endian), then its bytes; rows one after the other.

Rows are addressed through `RowTable`, which knows where each starts, so a range of rows is a range of bytes and nothing is
copied row by row. When all rows are equally long (`step` is then set) finding the offsets is vector work.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

LENGTH = Struct("<I")
PREFIX = LENGTH.size


class RowsError(ValueError):
    """The tensor's bytes are not what its shape says; the text names the row."""


class RowTable:
    """The rows of one BYTES tensor. step: bytes from one row to the next, 0 = rows differ; offsets, only then: where each row's
    length stands, and the end."""

    __slots__ = ("count", "offsets", "raw", "step")

    def __init__(self, raw: bytes | memoryview, count: int) -> None:
        self.raw = raw
        self.count = count
        self.step = _equal_step(raw, count)
        self.offsets = None if self.step else _walk(raw, count)

    def span(self, first: int, last: int) -> memoryview:
        """Rows first..last-1, encoded as they are."""
        if self.offsets is None:
            return memoryview(self.raw)[first * self.step : last * self.step]
        return memoryview(self.raw)[self.offsets[first] : self.offsets[last]]

    def gather(self, rows: NDArray[np.integer[Any]]) -> bytes:
        """The given rows in the given order, encoded."""
        if self.offsets is None:
            return np.frombuffer(self.raw, np.uint8).reshape(self.count, self.step)[rows].tobytes()
        raw, starts, ends = self.raw, self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        return b"".join([raw[start:end] for start, end in zip(starts, ends, strict=True)])

    def rows(self) -> list[bytes]:
        """Every row's bytes, decoded."""
        raw, step = bytes(self.raw), self.step
        if self.offsets is None:
            length = step - PREFIX
            return [raw[start : start + length] for start in range(PREFIX, PREFIX + step * self.count, step)]
        return [raw[start + PREFIX : end] for start, end in itertools.pairwise(self.offsets.tolist())]


def encode(rows: Sequence[bytes]) -> bytes:
    if not rows:
        return b""
    lengths = list(map(len, rows))
    shortest = min(lengths)
    if shortest == max(lengths):
        prefix = LENGTH.pack(shortest)
        return prefix + prefix.join(rows)
    pack = LENGTH.pack
    return b"".join([part for length, row in zip(lengths, rows, strict=True) for part in (pack(length), row)])


def decode(raw: bytes | memoryview, count: int) -> list[bytes]:
    return RowTable(raw, count).rows()


def _equal_step(raw: bytes | memoryview, count: int) -> int:
    """Bytes from one row to the next when all rows are equally long, else 0.

    If every word at i * step says step - 4, the rows are exactly those: by induction each row ends where the next begins.
    """
    if count <= 0 or len(raw) % count or len(raw) // count < PREFIX:
        return 0
    step = len(raw) // count
    if count == 1:
        return step if LENGTH.unpack_from(raw)[0] == step - PREFIX else 0
    lengths = np.ndarray(count, "<u4", raw, strides=(step,))
    return step if bool((lengths == step - PREFIX).all()) else 0


def _walk(raw: bytes | memoryview, count: int) -> NDArray[np.int64]:
    end, at = len(raw), 0
    if count < 0 or count * PREFIX > end:
        raise RowsError(f"the tensor says {count} rows but holds {end} bytes; each row takes at least {PREFIX}")
    offsets = [0]
    read, add = LENGTH.unpack_from, offsets.append
    for row in range(count):
        if at + PREFIX > end:
            raise RowsError(f"the tensor says {count} rows but its bytes end before row {row}")
        at += PREFIX + read(raw, at)[0]
        if at > end:
            raise RowsError(f"row {row} says {at - offsets[-1] - PREFIX} bytes but only {end - offsets[-1] - PREFIX} are left")
        add(at)
    if at != end:
        raise RowsError(f"{end - at} bytes are left after the tensor's {count} rows")
    return np.array(offsets, dtype=np.int64)
