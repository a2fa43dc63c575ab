"""The replica process: loads one operator and answers batches until its socket closes.

`python -m operators.replica FD` is started by the service with one end of a socket pair. It dies with the service: the kernel kills
it when its parent ends. It imports nothing heavy by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import inspect
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, perf_counter_ns, process_time, sleep
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from operators import gpu, repository, wire
from operators.cores import threads
from operators.operator import Operator, RowError, Variant
from operators.protocol import rows as bytes_rows
from operators.slot import Slot
from operators.wire import AnswerFrame, Frame, Kind

PR_SET_PDEATHSIG = 1
DETAIL_MAX = 500  # characters of an exception that travel with a row

Answers = list[bytes | list[bytes] | RowError]


class LoadError(Exception):
    """The operator cannot be loaded; the text says why and what to do."""


class Pace:
    """Keeps the process to its slot."""

    def __init__(self) -> None:
        self.slot = Slot()
        self._used_s = process_time()
        self._began_s: float | None = None

    def begin(self) -> None:
        """Bytes of a batch have come."""
        if self._began_s is None:
            self._began_s = monotonic()

    def end(self) -> None:
        """Sleeps what the slot asks for after a batch. What is used until the next one begins counts as the next one's."""
        if self.slot.limited and self._began_s is not None:
            now = monotonic()
            owed_s = self.slot.owed_s(process_time() - self._used_s, now - self._began_s)
            if owed_s:
                sleep(owed_s)
                self.slot.slept(monotonic() - now)
            self._used_s = process_time()
        self._began_s = None


def main(fd: int, parent: int) -> None:
    die_with_parent(parent)
    peer = socket.socket(fileno=fd)
    incoming = wire.Incoming()
    operator: Operator | None = None
    pace = Pace()
    while chunk := peer.recv(wire.CHUNK):
        pace.begin()
        for frame in incoming.frames(chunk):
            if frame.kind is Kind.BATCH:
                assert operator is not None
                _send(peer, answer(operator, frame, pace.end))
            elif frame.kind is Kind.RESIZE:
                assert operator is not None
                wanted = frame.json()
                resize(operator, wanted["cores"], wanted["cpus"])
                pace.slot.change(wanted["slot"])
                pace.end()
                _send(peer, wire.pack_json(Kind.RESIZED, {"cores": wanted["cores"], "at": monotonic()}))
            elif frame.kind is Kind.LOAD:
                operator = _loaded(peer, frame)


def die_with_parent(parent: int) -> None:
    """Ctrl-C and SIGTERM go to the whole process group; the service decides when its replicas end."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _loaded(peer: socket.socket, frame: Frame) -> Operator:
    try:
        operator = load(frame.json())
        state = operator.state_facts()
    except Exception as error:
        text = str(error)
        if not isinstance(error, LoadError | repository.RepositoryError | gpu.DeviceError):
            traceback.print_exc()
            text = f"operator {frame.json()['operator']} cannot be loaded: {type(error).__name__}: {error}"
        _send(peer, wire.pack_json(Kind.BROKEN, {"error": text}))
        raise SystemExit(3) from error
    facts = {
        "version": operator.variant.version,
        "fans_out": operator.makes_children(),
        "model": operator.model,
        "stateful": operator.stateful,
        "state": state,
        "row_bytes": operator.row_bytes,
    }
    _send(peer, wire.pack_json(Kind.READY, facts))
    return operator


def load(wish: dict[str, Any]) -> Operator:
    """wish: operator ("module:Class"), name, accuracy, options, version (None = newest), repository, cores.

    The options `device` ("cuda:0") and `gpu_share` (0..1, of its memory) are for operators/gpu.py; the operator does not see them.
    """
    kind = find_class(wish["operator"])
    options = dict(wish["options"])
    gpu.claim(options.pop("device", None), options.pop("gpu_share", None))
    variant = Variant(wish["name"], wish["accuracy"], options, wish["version"] or "1")
    if kind.model is not None:
        variant = repository.resolve(Path(wish["repository"]), kind.model, variant, wish["version"])
    count = threads(wish["cores"])
    limit_threads(count)
    operator = kind(variant, count)
    limit_threads(count)
    return operator


def find_class(spec: str) -> type[Operator]:
    """The operator class that `module:name` names, or what operators/author.py makes of a typed function or class of that name."""
    module_name, _, class_name = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise LoadError(f"operator {spec}: no module named {error.name!r}; is it installed, or beside the pipeline file?") from error
    kind = getattr(module, class_name, None)
    if isinstance(kind, type) and issubclass(kind, Operator):
        return kind
    if not _is_callable(kind):
        names = [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Operator)]
        raise LoadError(f"operator {spec}: {module_name} has no operator class {class_name!r}; it has {', '.join(names) or 'none'}")
    from operators.author import AuthorError, as_operator  # not for the sake of operators that are classes already

    try:
        return as_operator(kind)
    except AuthorError as error:
        raise LoadError(f"operator {spec}: {error}") from error


def _is_callable(kind: object) -> bool:
    """A function, or a class whose objects are called; every class by itself is, which says nothing."""
    return inspect.isfunction(kind) or (isinstance(kind, type) and any("__call__" in vars(base) for base in kind.__mro__))


def limit_threads(count: int) -> None:
    """Of torch and of the BLAS and OpenMP libraries that are loaded; all of them can be changed in a running process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
    for library in ThreadpoolController().lib_controllers:
        if library.num_threads != count:
            library.set_num_threads(count)


def resize(operator: Operator, cores: float, cpus: Sequence[int]) -> None:
    """The cores that it may use before the threads that use them where it grows; that it shrinks is seen by nobody between batches."""
    pin(cpus)
    count = threads(cores)
    if count != operator.cores:
        limit_threads(count)
        operator.resize(count)


def pin(cpus: Sequence[int]) -> None:
    """All threads of this process to these cores; those that they start later have them too."""
    if set(cpus) == os.sched_getaffinity(0):
        return
    done: set[str] = set()
    while left := set(os.listdir("/proc/self/task")) - done:
        for thread in left:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread), cpus)
        done |= left


def answer(operator: Operator, frame: Frame, end: Callable[[], None] = lambda: None) -> list[wire.Buffer]:
    """`end` is called when the operator has answered, and its time counts as the operator's."""
    counts, tensor = wire.unpack_batch(frame)
    rows = bytes_rows.decode(tensor, frame.rows)
    began = perf_counter_ns()
    answers = infer(operator, rows)
    end()
    compute_us = (perf_counter_ns() - began) // 1000
    return wire.pack_answer(frame.rows, encoded(answers, counts, compute_us, operator.fans_out, operator.others_met()))


def infer(operator: Operator, rows: Sequence[bytes]) -> Answers:
    """The operator's answers; where it raises, the batch is halved until the row at fault is alone."""
    try:
        return checked(operator, list(operator.infer(rows)), len(rows))
    except Exception as error:
        if len(rows) == 1:
            return [RowError("operator-error", f"{type(error).__name__}: {error}"[:DETAIL_MAX])]
        middle = len(rows) // 2
        return infer(operator, rows[:middle]) + infer(operator, rows[middle:])


def checked(operator: Operator, answers: Answers, count: int) -> Answers:
    name = type(operator).__name__
    if len(answers) != count:
        raise TypeError(f"{name}.infer answered {len(answers)} of {count} rows")
    wanted: type = list if operator.fans_out else bytes
    strange = set(map(type, answers)) - {wanted, RowError}
    if strange:
        raise TypeError(f"{name}.infer answered a {strange.pop().__name__} where a {wanted.__name__} is wanted")
    if operator.fans_out and not all(type(child) is bytes for row in answers if type(row) is list for child in row):
        raise TypeError(f"{name}.infer answered a list that holds something else than bytes")
    return answers


def encoded(answers: Answers, counts: list[int], compute_us: int, fans_out: bool, states: Sequence[int] = ()) -> AnswerFrame:
    errors = {at: row for at, row in enumerate(answers) if type(row) is RowError} if RowError in set(map(type, answers)) else {}
    failed = children = None
    if errors:
        failed = np.zeros(len(answers), np.uint8)
        failed[list(errors)] = 2
    if fans_out:
        children = np.array([len(row) if type(row) is list else 0 for row in answers], np.int32)
    payloads, at = [], 0
    for count in counts:
        part: Any = answers[at : at + count] if len(counts) > 1 else answers
        at += count
        if errors:
            part = [row for row in part if type(row) is not RowError]
        if fans_out:
            part = [child for row in part for child in row]
        payloads.append(bytes_rows.encode(part))
    reasons = {at: f"{error.reason}: {error.detail}" for at, error in errors.items()}
    payload = payloads[0] if len(payloads) == 1 else b"".join(payloads)
    return AnswerFrame(compute_us, list(map(len, payloads)), memoryview(payload), failed, children, reasons, states)


def _send(peer: socket.socket, buffers: list[wire.Buffer]) -> None:
    outgoing = wire.Outgoing()
    outgoing.add(buffers)
    outgoing.send(peer)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
