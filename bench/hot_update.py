"""Hot updates under 10,000 events/s: what they lose, what they repeat, and how long answers pause.

The service runs as `sluice operator serve` starts it, with the spare replica that is its default. A client in this process speaks the proxy's
protocol over one gRPC stream: open loop, a micro-batch of the events of 2 ms, whatever was answered. With state it does the proxy's part
too: it keeps each key's state, has one turn of a key out at a time, and applies what the answer says.

    update     POST /sluice/v1/stages/work/update with the next of the stored versions, each of a torch network with weights drawn anew:
               it is verified, loaded and warmed beside the old one, and takes over in one step
    right      an answer has the outputs of the version that the response names, computed here in numpy from that version's weights
    lost       events that were not answered, or with an error; with state also those that a key's count does not hold
    repeated   events that were answered more than once; with state also those that a key's count holds more than once
    gap_ms     the longest time between two responses from the call until the service says that the old version has stopped, over all updates
    baseline_gap_ms  the same over windows as long, each just before its update, after a pause that lets the service make its next spare

Responses are stamped by the thread that reads them; it, the sender, the service and the replicas share the machine. An update in whose time, pause
included, the host took cores away (bench/host.py) is printed and counted for what is lost, but not for the gaps: there is another, up to as many
again. Full run: about ten minutes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import queue
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from bench.contenders.versions import COUNTED, MODEL, OUTPUTS, PIXELS, outputs_of, weights_of
from bench.host import DISTURBED, Stolen
from bench.report import progress, table
from jobs.embedded import paths, ports
from jobs.embedded.processes import Child, Supervisor
from jobs.embedded.run import is_ready
from operators import repository
from operators.protocol import inference_pb2 as pb
from operators.protocol.calls import Stub
from operators.protocol.rows import decode, encode
from operators.turns import decode_answer, encode_turn

PIPELINES = {"stateless": "versions.yaml", "stateful": "versions_state.yaml"}
STAGE = "work"
RATE = 10_000
TICK_S = 0.002
EVENTS = round(RATE * TICK_S)  # of a micro-batch
SAMPLES = 1_000
KEYS = 2_000
DEADLINE_S = 60.0
CLOSE = 1e-3  # outputs are of the order of 10, those of two versions differ by as much
READY_S = 90.0
END_S = 30.0
ASK_S = 0.05


@dataclass(frozen=True, slots=True)
class Lengths:
    """pause_s: before an update, at least; the baseline's window is the end of it. warm_s: before the first. calm_s: the longest wait for a
    spare; an update without one counts as cold."""

    updates: int
    pause_s: float
    warm_s: float
    calm_s: float


FULL = Lengths(updates=20, pause_s=6.0, warm_s=10.0, calm_s=90.0)
QUICK = Lengths(updates=2, pause_s=2.0, warm_s=1.0, calm_s=6.0)


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds of the monotonic clock, and the longest time without a response in ms."""

    begin: float
    end: float
    gap_ms: float


@dataclass(frozen=True, slots=True)
class Update:
    """stolen: share of the cores' time that the host took, from the pause before it on."""

    window: Window
    baseline: Window
    stolen: float


class Client:
    """Sends micro-batches when they are due and keeps what comes of them. Events are numbered as they are sent."""

    def __init__(self, address: str, expected: dict[str, NDArray[np.float32]], seed: int) -> None:
        self.expected = expected
        self.sent = self.wrong = self.failed = self.behind_s = 0
        self.responses: list[float] = []
        self.by_version: dict[str, int] = defaultdict(int)
        self.error: grpc.RpcError | None = None
        self._requests: queue.SimpleQueue[pb.ModelInferRequest | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address)
        self._call = Stub(self._channel).ModelStreamInfer(iter(self._requests.get, None))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._read)]
        self.pixels = samples(seed)
        self._rows = [row.tobytes() for row in self.pixels]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Sends no more and waits for the last answers, as long as it may take."""
        self._stop.set()
        self._threads[0].join()
        limit = time.monotonic() + END_S
        while self.unanswered() and self.error is None and time.monotonic() < limit:
            self.flush()
            time.sleep(TICK_S)
        self._requests.put(None)
        self._threads[1].join(END_S)
        self._channel.close()
        if self.error is not None:
            raise self.error

    def gap(self, begin: float, end: float) -> Window:
        """From the last response before to the first one after, which it waits for."""
        limit = time.monotonic() + END_S
        while not self.responses or self.responses[-1] < end:
            if self.error is not None or time.monotonic() > limit:
                raise AssertionError(f"no response for {END_S:.0f} s") from self.error
            time.sleep(TICK_S)
        at = np.array(self.responses)
        first, last = max(0, int(np.searchsorted(at, begin)) - 1), int(np.searchsorted(at, end)) + 1
        return Window(begin, end, float(np.diff(at[first:last]).max()) * 1e3)

    def sample_of(self, event: int) -> int:
        return event % SAMPLES

    def unanswered(self) -> int:
        raise NotImplementedError

    def flush(self) -> None:
        """What waits here is sent, if something does."""

    def lost(self) -> int:
        raise NotImplementedError

    def repeated(self) -> int:
        raise NotImplementedError

    def message(self, events: range) -> pb.ModelInferRequest | None:
        """A micro-batch with these new events."""
        raise NotImplementedError

    def take(self, answer: pb.ModelInferResponse, rows: NDArray[np.int32], status: bytes, results: list[bytes]) -> None:
        raise NotImplementedError

    def check(self, version: str, sample: NDArray[np.int64], outputs: NDArray[np.float32]) -> None:
        self.by_version[version] += len(outputs)
        difference = np.abs(self.expected[version][sample] - outputs).max(axis=1)
        self.wrong += int(np.count_nonzero(difference > CLOSE))

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            ahead = due - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)  # the open loop's own pace
            self.behind_s = max(self.behind_s, -ahead)
            message = self.message(range(self.sent, self.sent + EVENTS))
            self.sent += EVENTS
            if message is not None:
                self._requests.put(message)
            due += TICK_S

    def request(self, number: str, rows: list[bytes], keep: bool) -> pb.ModelInferRequest:
        message = pb.ModelInferRequest(model_name=STAGE, id=number)
        deadlines = np.full(len(rows), int((time.time() + DEADLINE_S) * 1000), "<i8")
        for name, datatype, content in (("rows", "BYTES", encode(rows)), ("deadline_ms", "INT64", deadlines.tobytes())):
            message.inputs.add(name=name, datatype=datatype, shape=[len(rows)])
            message.raw_input_contents.append(content)
        if keep:
            message.inputs.add(name="keep", datatype="BOOL", shape=[len(rows)])
            message.raw_input_contents.append(b"\1" * len(rows))
        return message

    def _read(self) -> None:
        try:
            for message in self._call:
                self.responses.append(time.monotonic())
                if message.error_message:
                    raise AssertionError(message.error_message)
                answer = message.infer_response
                raw = dict(zip((tensor.name for tensor in answer.outputs), answer.raw_output_contents, strict=True))
                status = raw["status"]
                answered = sum(one < 2 for one in status)
                self.failed += len(status) - answered
                self.take(answer, np.frombuffer(raw["row"], "<i4"), status, decode(raw["rows"], answered))
        except grpc.RpcError as error:
            self.error = error


class Stateless(Client):
    def __init__(self, address: str, expected: dict[str, NDArray[np.float32]], seed: int) -> None:
        super().__init__(address, expected, seed)
        self._answers = np.zeros(1 << 20, np.uint8)

    def message(self, events: range) -> pb.ModelInferRequest:
        return self.request(str(events.start), [self._rows[self.sample_of(event)] for event in events], keep=False)

    def take(self, answer: pb.ModelInferResponse, rows: NDArray[np.int32], status: bytes, results: list[bytes]) -> None:
        events = int(answer.id) + rows.astype(np.int64)
        while int(events.max()) >= len(self._answers):
            self._answers = np.concatenate([self._answers, np.zeros_like(self._answers)])
        right = events[np.frombuffer(status, np.uint8) < 2]
        self._answers[right] += 1
        if len(right):
            outputs = np.frombuffer(b"".join(results), "<f4").reshape(-1, OUTPUTS)
            self.check(answer.parameters["version"].string_param, right % SAMPLES, outputs)

    def unanswered(self) -> int:
        return self.sent - self.failed - int(np.count_nonzero(self._answers[: self.sent]))

    def lost(self) -> int:
        return self.sent - int(np.count_nonzero(self._answers[: self.sent]))

    def repeated(self) -> int:
        answered = self._answers[: self.sent].astype(np.int64)
        return int((answered - 1)[answered > 1].sum())


class Stateful(Client):
    """waiting: events of each key that are in no turn yet; out: the key and the events of each row that is on its way."""

    def __init__(self, address: str, expected: dict[str, NDArray[np.float32]], seed: int) -> None:
        super().__init__(address, expected, seed)
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._states: dict[int, bytes] = {}
        self._waiting: dict[int, list[int]] = {}
        self._out: dict[tuple[str, int], tuple[int, list[int]]] = {}
        self._busy: set[int] = set()
        self._requests_made = 0
        self._events_of: dict[int, int] = defaultdict(int)
        self._counted: dict[int, list[int]] = defaultdict(list)

    def message(self, events: range) -> pb.ModelInferRequest | None:
        with self._lock:
            for event, key in zip(events, self._rng.integers(0, KEYS, len(events)).tolist(), strict=True):
                self._waiting.setdefault(key, []).append(event)
                self._events_of[key] += 1
            return self._turns()

    def flush(self) -> None:
        with self._lock:
            message = self._turns()
        if message is not None:
            self._requests.put(message)

    def _turns(self) -> pb.ModelInferRequest | None:
        number, rows = str(self._requests_made), []
        for key in [key for key in self._waiting if key not in self._busy]:
            events = self._waiting.pop(key)
            self._busy.add(key)
            self._out[number, len(rows)] = key, events
            rows.append(encode_turn(self._states.get(key, b""), [self._rows[self.sample_of(event)] for event in events]))
        self._requests_made += 1
        return self.request(number, rows, keep=True) if rows else None

    def take(self, answer: pb.ModelInferResponse, rows: NDArray[np.int32], status: bytes, results: list[bytes]) -> None:
        found, values = [], iter(results)
        samples_seen: list[int] = []
        with self._lock:
            for row, one in zip(rows.tolist(), status, strict=True):
                key, events = self._out.pop((answer.id, row))  # KeyError: a turn that was answered twice
                self._busy.discard(key)
                if one >= 2:
                    continue
                self._states[key], answers = decode_answer(next(values))
                table_ = np.frombuffer(b"".join(one for one in answers if isinstance(one, bytes)), COUNTED)
                self._counted[key] += table_["events"].tolist()
                found.append(table_["outputs"])
                samples_seen += [self.sample_of(event) for event in events]
        if found:
            self.check(answer.parameters["version"].string_param, np.array(samples_seen), np.concatenate(found))

    def unanswered(self) -> int:
        with self._lock:
            return len(self._out) + len(self._waiting)

    def lost(self) -> int:
        """Each key's events must be counted 1, 2, 3, ... up to as many as were sent."""
        return sum(len(set(range(1, sent + 1)) - set(self._counted[key])) for key, sent in self._events_of.items())

    def repeated(self) -> int:
        return sum(len(counts) - len(set(counts)) + sum(count > self._events_of[key] for count in counts) for key, counts in self._counted.items())


def samples(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 17, (SAMPLES, PIXELS), dtype=np.uint8)


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    figures, rows = {}, []
    sys.setswitchinterval(0.0005)  # the reader stamps responses; it should not wait for the sender
    for kind in PIPELINES:
        found = _measure(kind, lengths, seed)
        figures[kind] = found
        rows.append([kind, found["updates"], found["counted"], found["events"], found["lost"], found["repeated"], found["gap_ms"], found["gap_median_ms"],
                     found["baseline_gap_ms"], found["baseline_gap_median_ms"], found["update_s"]])
    print(table(["", "updates", "undisturbed", "events", "lost", "repeated", "worst gap ms", "median", "without: worst", "median", "s per update"], rows))
    return figures


def _measure(kind: str, lengths: Lengths, seed: int) -> dict:
    made = Stateless if kind == "stateless" else Stateful
    most = 2 * lengths.updates
    expected = {str(version): outputs_of(weights_of(version, seed), samples(seed)) for version in range(1, most + 2)}
    with _service(kind, most + 1, seed) as (address, http):
        client = made(address, expected, seed)
        gc.collect()
        gc.freeze()
        client.start()
        time.sleep(lengths.warm_s)
        cold = 0
        updates: list[Update] = []
        while sum(one.stolen <= DISTURBED for one in updates) < lengths.updates and len(updates) < most:
            stolen = Stolen()
            time.sleep(lengths.pause_s)
            cold += not _is_calm(http, lengths.calm_s)
            begin, end = _update(http, str(len(updates) + 2))
            one = Update(client.gap(begin, end), client.gap(begin - min(end - begin, lengths.pause_s), begin), stolen.share)
            updates.append(one)
            progress(f"{kind}, version {len(updates) + 1}: {one.window.gap_ms:.1f} ms in {end - begin:.2f} s; without {one.baseline.gap_ms:.1f} ms; "
                     f"stolen {one.stolen:.1%}")
        client.finish()
        gc.unfreeze()
    if client.wrong:
        raise AssertionError(f"{client.wrong} answers are not those of the version that the response names")
    if len(client.by_version) != len(updates) + 1:
        raise AssertionError(f"answers came from versions {sorted(client.by_version)}; there are {len(updates) + 1}")
    counted = [one for one in updates if one.stolen <= DISTURBED] or updates
    gaps, without = [one.window.gap_ms for one in counted], [one.baseline.gap_ms for one in counted]
    return {
        "lost": client.lost(), "repeated": client.repeated(), "gap_ms": round(max(gaps), 2), "baseline_gap_ms": round(max(without), 2),
        "updates": len(updates), "counted": len(counted), "cold_updates": cold, "events": client.sent,
        "gap_median_ms": round(statistics.median(gaps), 2), "baseline_gap_median_ms": round(statistics.median(without), 2),
        "gaps_ms": [round(gap, 2) for gap in gaps], "baseline_gaps_ms": [round(gap, 2) for gap in without],
        "update_s": round(statistics.median(one.window.end - one.window.begin for one in counted), 3), "sender_behind_ms": round(client.behind_s * 1e3, 1),
    }


@contextlib.contextmanager
def _service(kind: str, versions: int, seed: int) -> Iterator[tuple[str, str]]:
    """Its gRPC and HTTP addresses; it serves version 1 of so many."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        models = Path(folder) / "models"
        repository.store(models, MODEL, "drawn", "1", {"weights.safetensors": save(weights_of(1, seed))}, {})
        grpc_port, http_port = ports.free_ports(2)
        http = f"{ports.HOST}:{http_port}"
        pipeline = Path(__file__).parent / "pipelines" / PIPELINES[kind]
        command = (sys.executable, "-m", "jobs.cli", "operator", "serve", str(pipeline), "--grpc-port", str(grpc_port), "--http-port", str(http_port),
                   "--metrics-port", "0", "--models", str(models))
        with Supervisor(Path(folder) / "logs") as supervisor:
            supervisor.start(Child("service", command, cwd=paths.ROOT, ready=lambda: is_ready(http), restart=False))
            supervisor.wait_ready(["service"], READY_S)
            for version in range(2, versions + 1):
                repository.store(models, MODEL, "drawn", str(version), {"weights.safetensors": save(weights_of(version, seed))}, {})
            yield f"{ports.HOST}:{grpc_port}", http


def _update(http: str, version: str) -> tuple[float, float]:
    """From the call until the service says that the old version has stopped."""
    begin = time.monotonic()
    said = _ask(http, "update", {"version": version})
    while not said["ended"]:
        time.sleep(ASK_S)
        said = _ask(http, "update")
    if said["phase"] != "done":
        raise AssertionError(said["text"])
    return begin, time.monotonic()


def _is_calm(http: str, limit_s: float) -> bool:
    """Waits until no replica is being made and the spare is ready; whether they were in time."""
    limit = time.monotonic() + limit_s
    while (said := _ask(http, ""))["processes"]["loading"] or said["processes"]["spares"] < said["setting"]["spares"]:
        if time.monotonic() > limit:
            return False
        time.sleep(ASK_S)
    return True


def _ask(http: str, what: str, body: dict | None = None) -> dict:
    url = f"http://{http}/sluice/v1/stages/{STAGE}" + (f"/{what}" if what else "")
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, content), timeout=READY_S) as answer:
        return json.loads(answer.read())
