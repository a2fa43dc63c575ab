"""Telemetry is made at once when more arrives than what runs can carry."""

import asyncio

from autoscaler.graph.reader import parse_pipeline
from operators.serve import due_or_pressed
from operators.serving import Serving

PIPELINE = """
pipeline: p
slo: 100 ms
source: {topic: in}
sink: {topic: out}
dead_letters: {topic: dead}
stages:
  answer:
    operator: operators.echo:Echo
    variants: {only: {accuracy: 1.0}}
    batch: {max: 8}
"""


class Told:
    """A service whose stages are as it is told."""

    pressed: frozenset[str] = frozenset()


def waited(known, tells, due_s=1.2):
    """Seconds, and what is known then. tells: (seconds, stages that get too much from then on)."""
    async def run():
        serving, loop = Told(), asyncio.get_running_loop()
        begun = loop.time()
        for at_s, names in tells:
            loop.call_later(at_s, setattr, serving, "pressed", frozenset(names))
        found = await due_or_pressed(serving, begun + due_s, frozenset(known))
        return loop.time() - begun, found

    return asyncio.run(run())


def test_a_stage_that_begins_to_get_too_much_is_told_at_once():
    seconds, found = waited((), [(0.3, "a")])
    assert 0.3 <= seconds < 1.1
    assert found == {"a"}


def test_one_that_gets_too_much_still_waits_for_its_second():
    seconds, found = waited("a", [(0.0, "a")])
    assert seconds >= 1.2
    assert found == {"a"}


def test_neither_right_after_a_record_nor_right_before_one():
    assert waited((), [(0.0, "a")])[0] >= 0.2
    assert waited((), [(1.1, "a")])[0] >= 1.2


def test_a_stage_is_pressed_when_rows_come_faster_than_its_ready_replicas_take_them(tmp_path):
    async def run():
        serving = Serving(parse_pipeline(PIPELINE, "p.yaml"), tmp_path)
        (lane,) = serving.stages["answer"].stage.lanes
        now = asyncio.get_running_loop().time()
        lane.stage.rate.add(100, now)
        assert serving.pressed == frozenset()  # nothing is known of its times
        lane.stage.service_time.observe(8, 0.04)
        assert serving.pressed == {"answer"}  # no replica is ready
        await serving.close()

    asyncio.run(run())
