"""The four servers of `python -m bench serving`: how each is started, asked and read. All serve the same network on the same cores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers import servers
from bench.peers.models.shapes import CLASSES, KIND
from bench.peers.places import ROOT
from jobs.embedded.ports import HOST, free_ports
from jobs.embedded.processes import Child
from jobs.embedded.run import is_ready
from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import decode, encode

INFER = "/inference.GRPCInferenceService/ModelInfer"
PIPELINE = f"""\
pipeline: serving
slo: 1 s
source: {{topic: serving-in}}
sink: {{topic: serving-out}}
dead_letters: {{topic: serving-dead-letters}}
stages:
  digits:
    operator: bench.peers.models.sluice_digits:Digits
    variants: {{{KIND}: {{accuracy: 0.966}}}}
    batch: {{max: {servers.BATCH_MAX}}}
    replicas: {{initial: 1, min: 1, max: 1}}
"""

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Contender:
    """settings: the grid. start: (setting, folder for its files, cores) to the process and its address. transport: `grpc` (v2) or `http`."""

    name: str
    settings: tuple[Any, ...]
    start: Callable[[Any, Path, str], tuple[Child, str]]
    transport: str
    path: str
    request: Callable[[Pixels], bytes]
    scores: Callable[[bytes], Scores]


def contenders(model: Path) -> tuple[Contender, ...]:
    """model: a version of the network's model in the repository."""
    digits = servers.digits(model)

    def triton(setting: Any, folder: Path, cores: str) -> tuple[Child, str]:
        grpc, http = free_ports(2)
        return servers.triton(folder, digits, setting, grpc, http, cores), f"{HOST}:{grpc}"

    def mlserver(setting: Any, folder: Path, cores: str) -> tuple[Child, str]:
        grpc, http, metrics = free_ports(3)
        return servers.mlserver(folder, digits, setting, grpc, http, metrics, cores), f"{HOST}:{grpc}"

    def ray(setting: Any, folder: Path, cores: str) -> tuple[Child, str]:
        (http,) = free_ports(1)
        return servers.ray(digits, setting, http, cores), f"{HOST}:{http}"

    return (
        Contender("sluice", ("as shipped",), _sluice, "grpc", INFER, _rows_request, _rows_scores),
        Contender("triton", tuple(servers.TritonSetting(*one) for one in ((1, None), (1, 0), (1, 200), (2, None), (2, 0))), triton,
                  "grpc", INFER, _tensor_request, _tensor_scores),
        Contender("mlserver", tuple(servers.MlserverSetting(*one) for one in ((0, None), (0, 0.001), (1, None), (1, 0.001))), mlserver,
                  "grpc", INFER, _tensor_request, _tensor_scores),
        Contender("ray", tuple(servers.RaySetting(*one) for one in ((1, None), (1, 0.0), (1, 0.002), (2, None))), ray,
                  "http", "/", lambda pixels: pixels.tobytes(), _raw_scores),
    )


def _sluice(setting: Any, folder: Path, cores: str) -> tuple[Child, str]:
    grpc, http, metrics = free_ports(3)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "serving.yaml").write_text(PIPELINE)
    command = ("taskset", "-c", cores, sys.executable, "-m", "jobs.cli", "operator", "serve", str(folder / "serving.yaml"),
               "--grpc-port", str(grpc), "--http-port", str(http), "--metrics-port", str(metrics))
    return Child("sluice", command, cwd=ROOT, ready=lambda: is_ready(f"{HOST}:{http}")), f"{HOST}:{grpc}"


def _rows_request(pixels: Pixels) -> bytes:
    message = pb.ModelInferRequest(model_name="digits", raw_input_contents=[encode([row.tobytes() for row in pixels])])
    message.inputs.add(name="rows", datatype="BYTES", shape=[len(pixels)])
    return message.SerializeToString()


def _rows_scores(answer: bytes) -> Scores:
    message = pb.ModelInferResponse.FromString(answer)
    return _raw_scores(b"".join(decode(message.raw_output_contents[0], message.outputs[0].shape[0])))


def _tensor_request(pixels: Pixels) -> bytes:
    message = pb.ModelInferRequest(model_name="digits", raw_input_contents=[pixels.tobytes()])
    message.inputs.add(name="pixels", datatype="UINT8", shape=pixels.shape)
    return message.SerializeToString()


def _tensor_scores(answer: bytes) -> Scores:
    message = pb.ModelInferResponse.FromString(answer)
    if message.raw_output_contents:
        return _raw_scores(message.raw_output_contents[0])
    return np.array(message.outputs[0].contents.fp32_contents, np.float32).reshape(-1, CLASSES)


def _raw_scores(raw: bytes) -> Scores:
    return np.frombuffer(raw, "<f4").reshape(-1, CLASSES)
