"""The Flink job of a pipeline file: `flink run -py jobs/pipeline.py --pipeline FILE ...`.

Source -> the graph's stages, one proxy each -> sink. Nothing is computed inside Flink but routing, joins and order: the models run in the
operator service. Python builds the graph and is gone when it is submitted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `flink run -py` may start us from a copy of this file's folder

from autoscaler.graph.errors import PipelineErrors
from autoscaler.graph.pipeline import SOURCE, Order, Pipeline
from autoscaler.graph.reader import read_pipeline
from jobs.dataflow import Crossing, Dataflow, Step, lay_out
from jobs.settings import JobSettings


def build(pipeline: Pipeline, settings: JobSettings):
    """The job's streams, ready to execute. Returns the environment."""
    from jobs.streams import Streams  # needs a JVM: only where a job is really built

    streams = Streams(pipeline, settings)
    flow = lay_out(pipeline)
    leaving = {SOURCE: streams.source()}
    arriving: dict[str, list] = {step.stage.name: [] for step in flow.steps}
    passing: dict[str, list] = {step.stage.name: [] for step in flow.steps}
    for node in (SOURCE, *(step.stage.name for step in flow.steps)):
        if node != SOURCE:
            step = next(step for step in flow.steps if step.stage.name == node)
            done = _stage(streams, step, streams.union(arriving[node]))
            leaving[node] = streams.union([done, *passing[node]])
        if node in flow.crossings:
            _route(streams, flow.crossings[node], leaving[node], arriving, passing)
    streams.sink(_ordered(streams, pipeline, flow, leaving))
    return streams.environment


def _stage(streams, step: Step, events):
    if step.stage.join is not None:
        events = streams.join(events, step.stage)
    return events if step.stage.operator is None else streams.proxy(events, step)


def _route(streams, crossing: Crossing, events, arriving: dict[str, list], passing: dict[str, list]) -> None:
    if crossing.is_plain:
        arriving[crossing.routes[0].to].append(events)
        return
    routed = streams.evaluate(events, crossing)
    number = 0
    for route in crossing.routes:
        if route.when is not None:
            number += 1
            arriving[route.to].append(streams.on_route(routed, number))
        else:
            arriving[route.to].append(streams.on_route(routed, 0))
    if crossing.past is not None:
        passing[crossing.past].append(streams.on_route(routed, 0))


def _ordered(streams, pipeline: Pipeline, flow: Dataflow, leaving: dict):
    events = streams.union([leaving[end] for end in flow.ends])
    return streams.resequence(events) if pipeline.order is Order.KEY else events


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="jobs/pipeline.py", description=__doc__.split("\n")[0])
    parser.add_argument("--pipeline", type=Path, required=True, metavar="FILE", help="pipeline file (YAML)")
    JobSettings.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    try:
        pipeline = read_pipeline(chosen.pipeline)
    except (PipelineErrors, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    settings = JobSettings.from_arguments(chosen, pipeline)
    build(pipeline, settings).execute(f"sluice-{pipeline.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
