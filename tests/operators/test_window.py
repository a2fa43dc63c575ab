"""The window that the service tells its proxies."""

import asyncio

import numpy as np
import pytest

from autoscaler.graph.reader import parse_pipeline
from operators.hosted import WINDOW_ROWS
from operators.protocol.rows import RowTable, encode
from operators.queue import runs_of
from operators.requests import Request
from operators.serving import Serving
from tests.operators.test_pressed import PIPELINE


@pytest.mark.parametrize(("window", "told"), [
    (100, 115),  # 30 rows set aside, of two proxies
    (WINDOW_ROWS - 5, WINDOW_ROWS),
    (WINDOW_ROWS, WINDOW_ROWS),
    (2 * WINDOW_ROWS, 2 * WINDOW_ROWS),
])
def test_rows_set_aside_take_no_place_in_a_window_smaller_than_the_default(tmp_path, window, told):
    async def run():
        serving = Serving(parse_pipeline(PIPELINE, "p.yaml"), tmp_path)
        hosted = serving.stages["answer"]
        serving.change("answer", {"window": window})
        for proxy in ("answer/0", "answer/1"):
            hosted.telemetry.proxy(proxy, {"received": 15, "in_flight": 15, "waiting": 0}, asyncio.get_running_loop().time())
        (lane,) = hosted.stage.lanes
        deadlines = np.full(30, 1.0)
        request = Request("answer", "", RowTable(encode([b"row"] * 30), 30), deadlines, None, None, 30)
        for rows in runs_of(request, deadlines, 0.0):
            lane.stage.queue.add(rows)
        lane.stage.queue.set_aside(2.0, 30)
        found = hosted.control().window
        await serving.close()
        return found

    assert asyncio.run(run()) == told
