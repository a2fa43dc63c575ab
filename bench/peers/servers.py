"""The peers as child processes of a supervisor's, and what each serves.

A `Child` is started with `Supervisor.start`; it is ready when the server says that its models are. cores: the processor cores that it and
its children may use, as taskset writes them; None = any.
"""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.models.shapes import CLASSES, PIXELS
from bench.peers.places import PEERS, ROOT, environment, packages, python, there
from jobs.embedded.ports import HOST
from jobs.embedded.processes import Child

MODELS = Path(__file__).parent / "models"
START_S = 90.0
BATCH_MAX = 64


@dataclass(frozen=True, slots=True)
class Tensor:
    """Of one row, as Triton's configuration writes it."""

    name: str
    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """triton: the file with the backend's model. mlserver: its runtime's class."""

    name: str
    input: Tensor
    output: Tensor
    triton: str
    mlserver: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def digits(folder: Path) -> Model:
    """folder: a version of the network's model in the repository."""
    return Model("digits", Tensor("pixels", "TYPE_UINT8", (PIXELS,)), Tensor("scores", "TYPE_FP32", (CLASSES,)),
                 "triton_digits.py", "Digits", {"folder": str(folder)})


UPPER = Model("upper", Tensor("text", "TYPE_STRING", (1,)), Tensor("upper", "TYPE_STRING", (1,)), "triton_upper.py", "Upper")
"""Text in capitals. A request fails that holds the row `raise` (Triton) or `RAISE` (MLServer)."""


@dataclass(frozen=True, slots=True)
class TritonSetting:
    """delay_us: how long a batch may wait for more rows; None = requests are not put together."""

    instances: int = 1
    delay_us: int | None = None

    def __str__(self) -> str:
        return f"instances {self.instances}, {_batching(self.delay_us, 'us')}"


@dataclass(frozen=True, slots=True)
class MlserverSetting:
    """workers: processes beside the one that answers, 0 = it runs the model itself. batch_s: how long a batch may wait; None = no batching."""

    workers: int = 0
    batch_s: float | None = None

    def __str__(self) -> str:
        return f"workers {self.workers}, {_batching(self.batch_s, 's')}"


@dataclass(frozen=True, slots=True)
class RaySetting:
    replicas: int = 1
    batch_s: float | None = None

    def __str__(self) -> str:
        return f"replicas {self.replicas}, {_batching(self.batch_s, 's')}"


def _batching(wait: float | None, unit: str) -> str:
    return "no batching" if wait is None else f"batching up to {BATCH_MAX}, wait {wait} {unit}"


def triton(folder: Path, model: Model, setting: TritonSetting, grpc: int, http: int, cores: str | None = None) -> Child:
    """folder: empty or a model repository made here before."""
    place = folder / model.name
    (place / "1").mkdir(parents=True, exist_ok=True)
    shutil.copy(MODELS / model.triton, place / "1" / "model.py")
    (place / "config.pbtxt").write_text(_triton_config(model, setting))
    server = packages("triton") / "pytriton" / "tritonserver"
    command = (str(server / "bin" / "tritonserver"), "--model-repository", str(folder), "--backend-directory", str(server / "backends"),
               "--http-address", HOST, "--http-port", str(http), "--grpc-address", HOST, "--grpc-port", str(grpc),
               "--allow-metrics", "false", "--log-verbose", "0")
    path = {"PATH": f"{environment('triton') / 'bin'}{os.pathsep}{os.environ['PATH']}", "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")}
    return _child("triton", command, path, http, cores)


def mlserver(folder: Path, model: Model, setting: MlserverSetting, grpc: int, http: int, metrics: int, cores: str | None = None) -> Child:
    folder.mkdir(parents=True, exist_ok=True)
    server = {"host": HOST, "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": setting.workers,
              "debug": False, "logging_settings": None}
    batching = {} if setting.batch_s is None else {"max_batch_size": BATCH_MAX, "max_batch_time": setting.batch_s}
    served: dict[str, Any] = {"name": model.name, "implementation": f"bench.peers.models.mlserver_models.{model.mlserver}", **batching,
                              "inputs": [_metadata(model.input)], "outputs": [_metadata(model.output)], "parameters": {"extra": dict(model.parameters)}}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(served))
    command = (str(there(environment("mlserver") / "bin" / "mlserver")), "start", str(folder))
    return _child("mlserver", command, {}, http, cores)


def ray(model: Model, setting: RaySetting, http: int, cores: str | None = None) -> Child:
    batch = 0 if setting.batch_s is None else BATCH_MAX
    arguments = (model.parameters["folder"], str(http), str(batch), str(setting.batch_s or 0), str(setting.replicas))
    command = (str(python("ray")), str(MODELS / "ray_digits.py"), *arguments)
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(PEERS / "ray-sessions")}
    return _child("ray", command, quiet, http, cores, "/-/healthz")


def _child(name: str, command: tuple[str, ...], env: Mapping[str, str], http: int, cores: str | None, ready: str = "/v2/health/ready") -> Child:
    pinned = ("taskset", "-c", cores, *command) if cores is not None else command
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return Child(name, pinned, env={"PYTHONPATH": str(ROOT), **threads, **env}, cwd=ROOT, ready=lambda: _answers(f"http://{HOST}:{http}{ready}"))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _triton_config(model: Model, setting: TritonSetting) -> str:
    def tensor(described: Tensor) -> str:
        return f'{{ name: "{described.name}" data_type: {described.data_type} dims: {list(described.dims)} }}'

    lines = [f'name: "{model.name}"', 'backend: "python"', f"max_batch_size: {BATCH_MAX}",
             f"input [ {tensor(model.input)} ]", f"output [ {tensor(model.output)} ]",
             f"instance_group [ {{ kind: KIND_CPU count: {setting.instances} }} ]"]
    if setting.delay_us is not None:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {setting.delay_us} }}")
    lines += [f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in model.parameters.items()]
    return "\n".join(lines) + "\n"


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.data_type.removeprefix("TYPE_").replace("STRING", "BYTES"), "shape": [-1, *tensor.dims]}
