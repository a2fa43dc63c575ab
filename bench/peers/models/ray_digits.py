"""The network in Ray Serve, over HTTP, raw tensors in the bodies: `ray_digits.py FOLDER PORT BATCH WAIT_S REPLICAS`. BATCH 0: no batching.

Ray Serve has no v2 protocol of its own; a raw body is the cheapest it can be asked with.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from bench.peers.models.network import Network
from bench.peers.models.shapes import PIXELS

CALLS_MAX = 256
OBJECT_STORE_BYTES = 100 << 20


def deployment(folder: str, batch: int, wait_s: float, replicas: int):
    @serve.deployment(num_replicas=replicas, max_ongoing_requests=CALLS_MAX, ray_actor_options={"num_cpus": 1})
    class Digits:
        def __init__(self) -> None:
            self._network = Network(Path(folder))

        async def __call__(self, request: Request) -> Response:
            pixels = np.frombuffer(await request.body(), np.uint8).reshape(-1, PIXELS)
            scores = await self.together(pixels) if batch else self._network.scores(pixels)
            return Response(scores.tobytes(), media_type="application/octet-stream")

        @serve.batch(max_batch_size=max(1, batch), batch_wait_timeout_s=wait_s)
        async def together(self, parts: list) -> list:
            scores = self._network.scores(parts[0] if len(parts) == 1 else np.concatenate(parts))
            return np.split(scores, np.cumsum([len(part) for part in parts])[:-1])

    return Digits.bind()


if __name__ == "__main__":
    folder, port, batch, wait_s, replicas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    ray.init(num_cpus=replicas + 2, include_dashboard=False, _node_ip_address="127.0.0.1", object_store_memory=OBJECT_STORE_BYTES)
    serve.start(http_options={"host": "127.0.0.1", "port": port, "access_log": False}, logging_config={"enable_access_log": False})
    serve.run(deployment(folder, batch, wait_s, replicas), route_prefix="/")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
    os._exit(0)
