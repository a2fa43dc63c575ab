"""A digit network whose answers show which version gave them: all ten outputs, as they are. With and without state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.operator import Operator, Variant
from operators.stateful import StatefulOperator
from operators.turns import Applied, Turns

MODEL = "versions"
PIXELS, HIDDEN, OUTPUTS = 64, 48, 10
MIDDLE = 8.0
EVENT = np.dtype([("pixels", "u1", (PIXELS,))])
COUNT = np.dtype([("events", "<u4")])
COUNTED = np.dtype([("events", "<u4"), ("outputs", "<f4", (OUTPUTS,))])

Weights = Mapping[str, NDArray[np.float32]]


def weights_of(version: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Drawn anew for each version."""
    rng = np.random.default_rng((seed, version))
    shapes = {"0.weight": (HIDDEN, PIXELS), "0.bias": (HIDDEN,), "2.weight": (OUTPUTS, HIDDEN), "2.bias": (OUTPUTS,)}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def outputs_of(weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network of these weights makes of rows, without torch; shape (rows, 10)."""
    hidden = np.maximum((pixels / MIDDLE - 1) @ weights["0.weight"].T + weights["0.bias"], 0)
    return (hidden @ weights["2.weight"].T + weights["2.bias"]).astype(np.float32)


class _Network:
    def __init__(self, variant: Variant, cores: int) -> None:
        import torch  # only in replica processes
        from safetensors.torch import load_file

        assert variant.model_dir is not None
        torch.set_num_threads(cores)
        self._torch = torch
        self._layers = torch.nn.Sequential(torch.nn.Linear(PIXELS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, OUTPUTS))
        self._layers.load_state_dict(load_file(variant.model_dir / "weights.safetensors"))
        self._layers.eval()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            found: Any = self._layers(self._torch.from_numpy(pixels.astype(np.float32)) / MIDDLE - 1)
        return found.numpy()  # type: ignore[no-any-return]


class Versioned(Operator):
    """Row: 64 pixels. Answer: the ten outputs, float32."""

    model = MODEL
    row_bytes = PIXELS

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        self._network = _Network(variant, cores)

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        size, answers = 4 * OUTPUTS, self._network(np.frombuffer(b"".join(rows), np.uint8).reshape(-1, PIXELS)).tobytes()
        return [answers[at : at + size] for at in range(0, len(answers), size)]


class Counting(StatefulOperator):
    """The same for an event of a key, after the number of the key's events so far, which is its state."""

    model = MODEL

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        self._network = _Network(variant, cores)

    def apply(self, turns: Turns) -> Applied:
        states, _ = turns.state_table(COUNT)
        counted = np.zeros(len(turns.event_at), COUNTED)
        counted["events"] = states["events"][turns.key_of()] + np.arange(len(counted)) - turns.first[turns.key_of()] + 1
        counted["outputs"] = self._network(turns.event_table(EVENT)["pixels"])
        states["events"] += turns.counts.astype(np.uint32)
        return Applied(states, counted)
