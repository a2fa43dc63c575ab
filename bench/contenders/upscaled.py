"""A convolutional network that is large enough for a second core to matter: digits of 8 x 8 pixels, enlarged, with seeded weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from operators.operator import Operator, Variant

SIDE, ENLARGED = 8, 4


class Upscaled(Operator):
    """Row: 64 bytes. Answer: the class as a digit. Option `width`: channels, by which its cost grows with the square; `seed`: of the weights."""

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        options = variant.options
        torch.manual_seed(int(str(options.get("seed", 1))))
        width = int(str(options.get("width", 16)))
        self._network = nn.Sequential(
            nn.Upsample(scale_factor=ENLARGED),
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(2 * width * 16, 10),
        ).eval()
        for _ in range(3):
            self._classes(np.zeros((64, SIDE * SIDE), np.uint8))

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        pixels = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, SIDE * SIDE)
        return [b"%d" % label for label in self._classes(pixels).tolist()]

    def _classes(self, pixels: np.ndarray) -> Tensor:
        images = torch.from_numpy(pixels.astype(np.float32) / 16).reshape(-1, 1, SIDE, SIDE)
        with torch.inference_mode():
            return self._network(images).argmax(dim=1)
