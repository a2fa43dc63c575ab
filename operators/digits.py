"""Classifies an image of one handwritten digit.

Row: 64 bytes, 8 x 8 pixels from 0 to 16. Answer: `{"label":7,"confidence":0.9312}`, where the confidence is the network's
probability of its label. Only replica processes import this module: it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load_file

from operators.datasets import DIGIT_BYTES, DIGIT_MOST
from operators.networks import NETWORKS
from operators.operator import Operator, RowError, Variant

WARM_BATCHES = (1, 8, 64)  # rows; the first batches of a size are slow
STEPS = 10_000  # of a confidence from 0 to 1: it has four digits


class Answers(dict[int, bytes]):
    """An answer by label * (STEPS + 1) + confidence in steps. Each is written once: that takes as long as the smaller networks do."""

    def __missing__(self, code: int) -> bytes:
        if code < 0:
            raise ValueError("the network's probabilities are no numbers; its weights are broken")
        label, steps = divmod(code, STEPS + 1)
        answer = self[code] = b'{"label":%d,"confidence":%.4f}' % (label, steps / STEPS)
        return answer


ANSWERS = Answers()


class Classifier(Operator):
    """The variant's option `network` names the network (default: the variant's name); its weights come from the repository."""

    model = "digits"
    row_bytes = DIGIT_BYTES

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        kind = str(variant.options.get("network", variant.name))
        if kind not in NETWORKS:
            raise ValueError(f"variant {variant.name}: there is no network {kind!r}; use one of {', '.join(NETWORKS)}")
        if variant.model_dir is None:
            raise ValueError(f"variant {variant.name} has no stored model; train it first")
        torch.set_num_threads(cores)
        self.network = NETWORKS[kind]()
        self.network.load_state_dict(load_file(variant.model_dir / "weights.safetensors"))
        self.network.eval()
        for rows in WARM_BATCHES:
            self.classify(np.zeros((rows, DIGIT_BYTES), dtype=np.uint8))

    def resize(self, cores: int) -> None:
        super().resize(cores)
        torch.set_num_threads(cores)

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | RowError]:
        errors = _sizes_wrong(rows)
        sound = rows if not errors else [row for index, row in enumerate(rows) if index not in errors]
        pixels = np.frombuffer(b"".join(sound), dtype=np.uint8).reshape(-1, DIGIT_BYTES)
        answers: list[bytes | RowError] = list(encoded(*self.classify(pixels))) if len(pixels) else []
        if len(pixels) and pixels.max() > DIGIT_MOST:
            largest = pixels.max(axis=1)
            for index in np.flatnonzero(largest > DIGIT_MOST):
                answers[index] = RowError("bad-input", f"a pixel is {largest[index]}; use 0 to {DIGIT_MOST}")
        if not errors:
            return answers
        rest = iter(answers)
        return [errors[index] if index in errors else next(rest) for index in range(len(rows))]

    def classify(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest label, and its probability. pixels: (n, 64), 0 to 16."""
        with torch.inference_mode():
            best, labels = self.network(torch.from_numpy(pixels.astype(np.float32))).max(dim=1)
            return labels.numpy(), best.exp().numpy()


def encoded(labels: np.ndarray, confidences: np.ndarray) -> list[bytes]:
    """The answers; ValueError where a confidence is no number."""
    steps = np.rint(confidences * np.float64(STEPS)).astype(np.int64)
    return list(map(ANSWERS.__getitem__, (labels * (STEPS + 1) + steps).tolist()))


def _sizes_wrong(rows: Sequence[bytes]) -> dict[int, RowError]:
    return {
        index: RowError("bad-input", f"the image has {len(row)} bytes; use {DIGIT_BYTES}")
        for index, row in enumerate(rows)
        if len(row) != DIGIT_BYTES
    }
