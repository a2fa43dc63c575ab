"""The digits' classifier over shifted copies of each image, whose probabilities it takes the mean of: a stage of which one core carries some
hundred rows a second, on real digits and a real network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from operators.datasets import DIGIT_BYTES
from operators.digits import Classifier

FURTHEST = 2
"""Pixels, each way: 25 copies."""
SIDE = 8


class Shifted(Classifier):
    def classify(self, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            votes = self.network(torch.from_numpy(shifted(pixels).astype(np.float32))).exp()
            best, labels = votes.unflatten(0, (-1, len(pixels))).mean(dim=0).max(dim=1)
            return best, labels


def shifted(pixels: np.ndarray) -> np.ndarray:
    """Every shift of every image, (copies * n, 64), shift by shift; what comes in from outside is empty. pixels: (n, 64)."""
    wide = np.pad(pixels.reshape(-1, SIDE, SIDE), ((0, 0), (FURTHEST, FURTHEST), (FURTHEST, FURTHEST)))
    shifts = range(2 * FURTHEST + 1)
    return np.concatenate([wide[:, down : down + SIDE, right : right + SIDE].reshape(-1, DIGIT_BYTES) for down in shifts for right in shifts])
