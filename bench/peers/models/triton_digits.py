"""The network in Triton's Python backend: the requests of a batch are one call of the network."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton

from bench.peers.models.network import Network


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self._network = Network(Path(parameters["folder"]["string_value"]))

    def execute(self, requests):
        pixels = [triton.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        scores = self._network.scores(pixels[0] if len(pixels) == 1 else np.concatenate(pixels))
        ends = np.cumsum([len(part) for part in pixels])[:-1]
        return [triton.InferenceResponse([triton.Tensor("scores", part)]) for part in np.split(scores, ends)]
