"""The digits network as every server of the bench runs it: uint8 pixels (n, 64) in, float32 log-probabilities (n, 10) out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bench.peers.models.shapes import KIND, PIXELS
from operators.networks import NETWORKS

WARM_BATCHES = (1, 8, 64)  # rows; the first batches of a size are slow


class Network:
    """folder: a version of the model in Sluice's repository."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._network = NETWORKS[KIND]()
        self._network.load_state_dict(load_file(folder / "weights.safetensors"))
        self._network.eval()
        for rows in WARM_BATCHES:
            self.scores(np.zeros((rows, PIXELS), np.uint8))

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = self._network(torch.from_numpy(pixels.astype(np.float32))).numpy()
            return scores
