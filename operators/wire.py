"""Messages between the service and a replica process, over a Unix socket pair.

A frame is a header (kind, flags, parts, rows, length of the body) and the body. Little-endian throughout.

    LOAD     service -> replica   JSON: what to load
    READY    replica -> service   JSON: version, fans_out, model
    BROKEN   replica -> service   JSON: error; the process then ends
    RESIZE   service -> replica   JSON: cores, cpus (their numbers), slot (cores, where no quota keeps it to a part of one; else null)
    RESIZED  replica -> service   JSON: cores, at (monotonic seconds); takes effect between batches
    BATCH    service -> replica   rows of each part u32, rows as a BYTES tensor
    ANSWER   replica -> service   compute_us u64, result bytes of each part u32; with FAILED: u8 per row; with CHILDREN: i32 per row;
                                  with REASONS: length u32, JSON {position: reason}; with STATES: how many u32, versions u32 of key states
                                  that another version of the operator wrote; then results as a BYTES tensor

A part is the rows of one request. A closed socket ends the replica. Rows are never joined or split on the way.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = Struct("<BBxxIIQ")
CHUNK = 1 << 18
IOV_MAX = 512

FAILED, CHILDREN, REASONS, STATES = 1, 2, 4, 8  # flags of ANSWER


class Kind(IntEnum):
    LOAD = 1
    READY = 2
    BROKEN = 3
    RESIZE = 4
    BATCH = 5
    ANSWER = 6
    RESIZED = 7


Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    flags: int
    parts: int
    rows: int
    body: memoryview

    def json(self) -> dict[str, Any]:
        return json.loads(bytes(self.body))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """sizes: result bytes of each part; failed and children per row of the batch, None when nothing to say; states: versions other than its
    own that it met."""

    compute_us: int
    sizes: list[int]
    payload: memoryview
    failed: NDArray[np.uint8] | None = None
    children: NDArray[np.int32] | None = None
    reasons: Mapping[int, str] | None = None
    states: Sequence[int] = ()


def pack_json(kind: Kind, content: Mapping[str, Any]) -> list[Buffer]:
    body = json.dumps(content).encode()
    return [HEADER.pack(kind, 0, 0, 0, len(body)), body]


def pack_batch(counts: Sequence[int], payloads: Sequence[Buffer]) -> list[Buffer]:
    lengths = np.array(counts, "<u4").tobytes()
    size = len(lengths) + sum(map(len, payloads))
    return [HEADER.pack(Kind.BATCH, 0, len(counts), sum(counts), size), lengths, *payloads]


def unpack_batch(frame: Frame) -> tuple[list[int], memoryview]:
    """Rows of each part, and the BYTES tensor of all."""
    at = 4 * frame.parts
    return np.frombuffer(frame.body[:at], "<u4").tolist(), frame.body[at:]


def pack_answer(rows: int, answer: AnswerFrame) -> list[Buffer]:
    flags = 0
    body: list[Buffer] = [answer.compute_us.to_bytes(8, "little"), np.array(answer.sizes, "<u4").tobytes()]
    if answer.failed is not None:
        flags |= FAILED
        body.append(answer.failed.tobytes())
    if answer.children is not None:
        flags |= CHILDREN
        body.append(answer.children.astype("<i4").tobytes())
    if answer.reasons:
        flags |= REASONS
        reasons = json.dumps(answer.reasons).encode()
        body += [len(reasons).to_bytes(4, "little"), reasons]
    if answer.states:
        flags |= STATES
        body += [len(answer.states).to_bytes(4, "little"), np.array(answer.states, "<u4").tobytes()]
    body.append(answer.payload)
    return [HEADER.pack(Kind.ANSWER, flags, len(answer.sizes), rows, sum(map(len, body))), *body]


def unpack_answer(frame: Frame) -> AnswerFrame:
    body, rows = frame.body, frame.rows
    compute_us, at = int.from_bytes(body[:8], "little"), 8 + 4 * frame.parts
    sizes = np.frombuffer(body[8:at], "<u4").tolist()
    failed = children = reasons = None
    if frame.flags & FAILED:
        failed, at = np.frombuffer(body[at : at + rows], np.uint8), at + rows
    if frame.flags & CHILDREN:
        children, at = np.frombuffer(body[at : at + 4 * rows], "<i4"), at + 4 * rows
    if frame.flags & REASONS:
        length, at = int.from_bytes(body[at : at + 4], "little"), at + 4
        reasons, at = {int(k): v for k, v in json.loads(bytes(body[at : at + length])).items()}, at + length
    states: list[int] = []
    if frame.flags & STATES:
        last = at + 4 + 4 * int.from_bytes(body[at : at + 4], "little")
        states, at = np.frombuffer(body[at + 4 : last], "<u4").tolist(), last
    return AnswerFrame(compute_us, sizes, body[at:], failed, children, reasons, states)


class Incoming:
    """Bytes from a socket, cut into frames. A frame that comes in one piece is not copied."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def frames(self, chunk: bytes) -> Iterator[Frame]:
        held: bytes | bytearray = chunk
        if self._rest:
            self._rest += chunk
            if len(self._rest) < _size(self._rest):
                return
            held, self._rest = self._rest, bytearray()
        view, at = memoryview(held), 0
        while len(held) - at >= HEADER.size:
            kind, flags, parts, rows, length = HEADER.unpack_from(held, at)
            if at + HEADER.size + length > len(held):
                break
            at += HEADER.size
            yield Frame(Kind(kind), flags, parts, rows, view[at : at + length])
            at += length
        self._rest = bytearray(view[at:])


def _size(held: bytearray) -> int:
    """Bytes of the frame that `held` begins with; more than it holds while that is unknown."""
    if len(held) < HEADER.size:
        return HEADER.size
    return HEADER.size + int(HEADER.unpack_from(held)[4])


class Outgoing:
    """Buffers on their way into a non-blocking socket; `send` returns whether all are gone."""

    def __init__(self) -> None:
        self._buffers: list[memoryview] = []

    def add(self, buffers: Sequence[Buffer]) -> None:
        self._buffers += [memoryview(buffer) for buffer in buffers if len(buffer)]

    def send(self, peer: socket.socket) -> bool:
        while self._buffers:
            try:
                sent = peer.sendmsg(self._buffers[:IOV_MAX])
            except BlockingIOError:
                return False
            gone = 0
            while gone < len(self._buffers) and sent >= len(self._buffers[gone]):
                sent -= len(self._buffers[gone])
                gone += 1
            del self._buffers[:gone]
            if sent:
                self._buffers[0] = self._buffers[0][sent:]
        return True
