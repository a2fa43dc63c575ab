"""A stage as Triton's model configuration describes a model, for clients that ask for it first (perf_analyzer does).

One form serves both front ends: the names and enumeration values of Triton's ModelConfig. A stage's tensors have one value per row, so
their first dimension is the batch, which the configuration leaves out; Triton writes a value without further dimensions as dims [1],
reshaped to []. The inputs' metadata says [-1, 1] likewise, because perf_analyzer takes no input without a dimension; [rows] is taken as well.
"""

from __future__ import annotations

from typing import Any

from operators.hosted import HostedStage

PLATFORM = "sluice"
DATA_TYPES = {"BYTES": "TYPE_STRING", "INT64": "TYPE_INT64", "INT32": "TYPE_INT32", "FP32": "TYPE_FP32", "BOOL": "TYPE_BOOL"}


def metadata(hosted: HostedStage) -> dict[str, Any]:
    """Model metadata of the protocol."""
    outputs = [{"name": "rows", "datatype": "BYTES", "shape": [-1]}]
    if hosted.spec.fan_out:
        outputs.append({"name": "children", "datatype": "INT32", "shape": [-1]})
    return {
        "name": hosted.spec.name,
        "versions": [hosted.stage.setting.variant.version],
        "platform": PLATFORM,
        "inputs": [
            {"name": "rows", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "deadline_ms", "datatype": "INT64", "shape": [-1, 1]},
            {"name": "min_accuracy", "datatype": "FP32", "shape": [-1, 1]},
            {"name": "keep", "datatype": "BOOL", "shape": [-1, 1]},
            {"name": "event_id", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "version", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "value", "datatype": "FP32", "shape": [-1, 1]},
        ],
        "outputs": outputs,
    }


def model_config(hosted: HostedStage) -> dict[str, Any]:
    """max_batch_size: rows per batch of a replica, as the setting has it now. A request may have more; it then takes several batches."""
    described, setting = metadata(hosted), hosted.stage.setting
    return {
        "name": hosted.spec.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": setting.batch,
        "input": [{**_tensor(tensor), "optional": tensor["name"] != "rows"} for tensor in described["inputs"]],
        "output": [_tensor(tensor) for tensor in described["outputs"]],
        "instance_group": [{"name": setting.variant.name, "kind": "KIND_CPU", "count": setting.replicas}],
        "dynamic_batching": {"preferred_batch_size": [setting.batch]},
        "parameters": {
            "variant": {"string_value": setting.variant.name},
            "accuracy": {"string_value": str(setting.variant.accuracy)},
            "cores": {"string_value": str(setting.cores)},
        },
        "model_transaction_policy": {"decoupled": False},
    }


def _tensor(described: dict[str, Any]) -> dict[str, Any]:
    return {"name": described["name"], "data_type": DATA_TYPES[described["datatype"]], "dims": [1], "reshape": {"shape": []}}
