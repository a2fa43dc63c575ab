"""What both front ends' fuzz tests share: a client that behaves, beside those that do not, and the service's memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from operators.protocol.calls import Stub
from operators.protocol.rows import decode
from tests.operators.service import Service, request

GROWTH_MB = 48.0  # resident memory at the end, over what it is after the largest requests
IN_TIME_S = 2.0  # of a row that takes a few milliseconds; two busy cores need some
EVERY_S = 0.01


class Steady:
    """Sends a row every EVERY_S and wants it back, unchanged and in time, until the block ends."""

    def __init__(self, service: Service) -> None:
        self.answered = 0
        self.wrong: list[str] = []
        self._channel = grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self._infer = Stub(self._channel).ModelInfer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._channel.close()
        assert self.wrong == []
        assert self.answered > 0

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            row = b"steady %d" % self.answered
            try:
                answer = self._infer(request(self.answered, [row]), timeout=IN_TIME_S)
            except grpc.RpcError as error:
                self.wrong.append(f"row {self.answered}: {error.code()}: {error.details()}")
                continue
            if decode(answer.raw_output_contents[0], 1) != [row]:
                self.wrong.append(f"row {self.answered}: answered {answer.raw_output_contents[0]!r}")
            self.answered += 1


@contextmanager
def watched(folder: Path, largest: Callable[[Service], None]) -> Iterator[Service]:
    """One service for all tests of a file, a steady client beside them: in the end it has grown little and logged nothing unforeseen.

    largest: sends what takes most memory, which the allocator keeps.
    """
    service = Service(folder, "Echo", batch=64)
    try:
        largest(service)
        before_mb = resident_mb(service)
        with Steady(service):
            yield service
        after_mb = settled_mb(service, before_mb + GROWTH_MB)
    finally:
        service.close()
    assert after_mb - before_mb < GROWTH_MB
    assert not failures_of(service), failures_of(service)


def resident_mb(service: Service) -> float:
    """Of the service's process, its replicas apart."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def settled_mb(service: Service, most: float) -> float:
    """Resident memory once it is at most that, or after a second."""
    limit = time.monotonic() + 1.0
    while (found := resident_mb(service)) > most and time.monotonic() < limit:
        time.sleep(0.05)
    return found


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes with up to four of them changed, cut out, doubled or put in."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        end = min(len(found), at + chance.randint(1, 8))
        kind = chance.randrange(5)
        if kind == 0:
            found[at:end] = chance.randbytes(end - at)
        elif kind == 1:
            del found[at:end]
        elif kind == 2:
            found[at:at] = found[at:end]
        elif kind == 3:
            found[at:at] = chance.randbytes(chance.randint(1, 8))
        elif at < len(found):
            found[at] ^= 1 << chance.randrange(8)
    return bytes(found)


def failures_of(service: Service) -> str:
    """What the service logged from the first error on that it had not foreseen."""
    at = next((at for at, line in enumerate(service.log) if "Traceback" in line or "Error handling request" in line), len(service.log))
    return "".join(service.log[at:])
