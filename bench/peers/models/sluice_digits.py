"""The network as an operator of Sluice's: raw tensors in and out."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bench.peers.models.network import Network
from bench.peers.models.shapes import CLASSES, PIXELS
from operators.author import Batch
from operators.codec import Array
from operators.operator import Variant

Pixels = Annotated[NDArray[np.uint8], Array("|u1", (PIXELS,))]
Scores = Annotated[NDArray[np.float32], Array("<f4", (CLASSES,))]


class Digits:
    model = "digits"

    def __init__(self, variant: Variant, cores: int) -> None:
        assert variant.model_dir is not None
        self._network = Network(variant.model_dir, cores)

    def __call__(self, images: Batch[Pixels]) -> Batch[Scores]:
        return self._network.scores(images)
