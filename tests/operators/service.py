"""A real service in a process of its own, and a plain client of its stream."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np

from operators.protocol import inference_pb2 as pb
from operators.protocol.calls import Stub
from operators.protocol.rows import decode, encode

LIMIT_S = 60.0

PIPELINE = """
pipeline: t
slo: 1000 ms
source: {{topic: t-in, format: raw, partitions: 1}}
sink: {{topic: t-out, format: raw, partitions: 1}}
dead_letters: {{topic: t-dead-letters}}
stages:
  work:
    operator: operators.echo:{operator}
    fan_out: {fan_out}
    on_late: {on_late}
    variants:
      plain: {{accuracy: 0.95, sleep_ms: {sleep_ms}}}
      marked: {{accuracy: 0.9, suffix: "!", sleep_ms: {sleep_ms}}}
    variant: plain
    batch: {{max: {batch}}}
    replicas: {{initial: {replicas}, min: 1, max: 3}}
"""


def eventually(condition: Callable[[], object], what: str) -> object:
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {LIMIT_S} s: {what}")


class Service:
    """operator: a class of operators/echo.py, or `module:name`. arguments: further ones of `serve`. stages: further ones of the file."""

    def __init__(
        self,
        folder: Path,
        operator: str = "Faulty",
        batch: int = 64,
        replicas: int = 1,
        sleep_ms: float = 0,
        on_late: str = "answer",
        arguments: Sequence[str] = (),
        stages: str = "",
    ) -> None:
        path = folder / f"{operator.replace(':', '-')}-{batch}-{replicas}.yaml"
        fan_out = str(operator == "Splitter").lower()
        text = PIPELINE if ":" not in operator else PIPELINE.replace("operators.echo:", "")
        path.write_text(text.format(operator=operator, batch=batch, replicas=replicas, sleep_ms=sleep_ms, on_late=on_late, fan_out=fan_out) + stages)
        ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "operators.cli", "serve", str(path), *ports, "--unix", str(folder / f"{os.getpid()}.sock"), *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.unix = f"unix:{folder / f'{os.getpid()}.sock'}"
        self.log: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"gRPC on 127.0.0.1:(\d+), HTTP on port (\d+)", line):
                self.grpc_port, self.http_port = int(found[1]), int(found[2])
                break
        else:
            raise AssertionError("".join(self.log))
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.stub = Stub(self.channel)

    def http(self, path: str, change: object = None, method: str = "PATCH") -> tuple[int, dict]:
        """method: of a call that brings a body."""
        body = None if change is None else json.dumps(change).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", body, method="GET" if body is None else method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def stage(self) -> dict:
        return self.http("/sluice/v1/stages/work")[1]

    def change(self, **setting: object) -> dict:
        status, answer = self.http("/sluice/v1/stages/work", setting)
        assert status == 200, answer
        return answer

    def pids(self) -> list[int]:
        return self.stage()["pids"]

    def wait_for_replicas(self, count: int) -> None:
        eventually(lambda: self.stage()["replicas_ready"] == count == len(self.pids()), f"{count} replicas")

    def close(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(LIMIT_S)


def request(number: int | str, rows: list[bytes], deadline_s: float = 10.0, stage: str = "work") -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=stage, id=str(number))
    message.inputs.add(name="rows", datatype="BYTES", shape=[len(rows)])
    message.inputs.add(name="deadline_ms", datatype="INT64", shape=[len(rows)])
    deadlines = np.full(len(rows), int((time.time() + deadline_s) * 1000), "<i8")
    message.raw_input_contents.extend([encode(rows), deadlines.tobytes()])
    return message


class Stream:
    """Answers by request id and row: (status, result or list of results or reason)."""

    def __init__(self, stub: Stub) -> None:
        self._requests: queue.Queue[pb.ModelInferRequest | None] = queue.Queue()
        self.answers: dict[str, dict[int, tuple[int, object]]] = {}
        self.errors: dict[str, str] = {}
        self.repeated: list[tuple[str, int]] = []
        self.variants: list[str] = []
        self.sent: dict[str, int] = {}
        self.error: grpc.RpcError | None = None
        self._call = stub.ModelStreamInfer(iter(self._requests.get, None))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def send(self, message: pb.ModelInferRequest) -> None:
        self.sent[message.id] = message.inputs[0].shape[0]
        self.put(message)

    def put(self, message: pb.ModelInferRequest) -> None:
        """Sends it without counting on answers."""
        self._requests.put(message)

    def outstanding(self) -> int:
        answered = sum(map(len, self.answers.values())) + sum(self.sent[number] for number in self.errors)
        return sum(self.sent.values()) - answered

    def finish(self) -> dict[str, dict[int, tuple[int, object]]]:
        """Waits for all answers and ends the stream."""
        eventually(lambda: self.outstanding() == 0 or self.error, f"all answers; {self.outstanding()} rows are missing")
        self._requests.put(None)
        self._thread.join(LIMIT_S)
        assert self.error is None, self.error
        return self.answers

    def _read(self) -> None:
        try:
            for message in self._call:
                self._answer(message)
        except grpc.RpcError as error:
            self.error = error

    def _answer(self, message: pb.ModelStreamInferResponse) -> None:
        answer = message.infer_response
        if message.error_message:
            self.errors[answer.id] = message.error_message
            return
        raw = {tensor.name: (content, tensor.shape[0]) for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=True)}
        self.variants.append(answer.parameters["variant"].string_param)
        known = self.answers.setdefault(answer.id, {})
        for row, status, result in each(raw):
            if row in known:
                self.repeated.append((answer.id, row))
            known[row] = (status, result)


def each(raw: dict[str, tuple[bytes, int]]) -> Iterator[tuple[int, int, object]]:
    results = iter(decode(*raw["rows"]))
    reasons = iter(decode(*raw["reason"])) if "reason" in raw else iter(())
    rows, statuses = np.frombuffer(raw["row"][0], "<i4").tolist(), list(raw["status"][0])
    children = np.frombuffer(raw["children"][0], "<i4").tolist() if "children" in raw else [None] * len(rows)
    for row, status, count in zip(rows, statuses, children, strict=True):
        if status >= 2:
            yield row, status, next(reasons).decode()
        elif count is None:
            yield row, status, next(results)
        else:
            yield row, status, [next(results) for _ in range(count)]
    assert next(results, None) is None
    assert next(reasons, None) is None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
