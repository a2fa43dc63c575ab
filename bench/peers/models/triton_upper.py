"""Text in capitals, in Triton's Python backend. A request that holds the row `raise` fails; each row that begins with `slow` takes 50 ms."""

import time

import numpy as np
import triton_python_backend_utils as triton

SLOW_S = 0.05


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(triton.get_input_tensor_by_name(request, "text").as_numpy()) for request in requests]

    def _answer(self, text):
        if (text == b"raise").any():
            return triton.InferenceResponse(error=triton.TritonError("cannot take raise"))
        time.sleep(SLOW_S * sum(row.startswith(b"slow") for row in text.flat))
        return triton.InferenceResponse([triton.Tensor("upper", np.array([row.upper() for row in text.flat], object).reshape(text.shape))])
