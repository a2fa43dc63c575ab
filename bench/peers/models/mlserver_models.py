"""The network, and text in capitals, as runtimes of MLServer's."""

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceResponse

from bench.peers.models.network import Network


class Digits(MLModel):
    async def load(self):
        self._network = Network(Path(self.settings.parameters.extra["folder"]))
        return True

    async def predict(self, payload):
        scores = self._network.scores(NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8, copy=False))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])


class Upper(MLModel):
    """A request that holds the row `RAISE` fails."""

    async def load(self):
        return True

    async def predict(self, payload):
        text = StringCodec.decode_input(payload.inputs[0])
        if "RAISE" in text:
            raise InferenceError("cannot take RAISE")
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("upper", [row.upper() for row in text])])
