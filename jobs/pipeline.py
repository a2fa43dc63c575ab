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
from autoscaler.graph.routes import feeders
from jobs.broker import SettingsError
from jobs.dataflow import Crossing, Dataflow, Step, lay_out
from jobs.settings import JobSettings


def build(pipeline: Pipeline, settings: JobSettings):
    """The job's streams, ready to execute. Returns the environment."""
    from jobs.streams import Streams  # needs a JVM: only where a job is really built

    streams, flow = Streams(pipeline, settings), lay_out(pipeline)
    steps = {step.stage.name: step for step in flow.steps}
    arriving: dict[str, list] = {name: [] for name in steps}
    passing: dict[str, list] = {name: [] for name in steps}
    ending = []
    for node in (SOURCE, *steps):
        if node == SOURCE:
            events = streams.stamp(streams.source()) if flow.numbered(pipeline) else streams.source()
        else:
            done = _stage(streams, flow, steps[node], streams.union(arriving[node]))
            events = streams.union([done, *passing[node]])
        if node in flow.crossings:
            _route(streams, pipeline, flow.crossings[node], events, arriving, passing)
        else:
            ending.append(events)
    _sink(streams, pipeline, settings, streams.union(ending), is_one=len(ending) == 1 and not any(passing.values()))
    return streams.environment


def _stage(streams, flow: Dataflow, step: Step, events):
    from jobs.streams import joined_raw

    if step.stage.join is not None:
        events = streams.join(events, step, flow.slots_between(step), joined_raw(streams.pipeline, step.stage))
    if step.ordered:
        events = streams.resequence(events, step.stage.name)
    return events if step.stage.is_plain_join else streams.proxy(events, step)


def _route(streams, pipeline: Pipeline, crossing: Crossing, events, arriving: dict[str, list], passing: dict[str, list]) -> None:
    for route in crossing.routes:
        if route.when is not None:
            stage = pipeline.stage(route.to)
            met, events = streams.branch(events, stage, route.when, _fields_before(pipeline, route.to))
            arriving[route.to].append(met)
    for route in crossing.routes:
        if route.when is None:
            arriving[route.to].append(events)
    if crossing.past is not None:
        passing[crossing.past].append(events)


def _fields_before(pipeline: Pipeline, stage: str) -> dict[str, str]:
    """Declared fields, name to Flink SQL type, of every stage whose value an event may carry to this one; the reader saw that types agree."""
    fields: dict[str, str] = {}
    for name in feeders(pipeline.stages)[stage]:
        if name != SOURCE:
            fields.update(pipeline.stage(name).output.fields)
    return fields


def _sink(streams, pipeline: Pipeline, settings: JobSettings, events, is_one: bool) -> None:
    """The sink shares a thread with what comes before it where that is one operator: an exchange less for every event."""
    if pipeline.order is Order.KEY:
        streams.sink(streams.resequence(events), settings.source_parallelism, chained=True)
    else:
        streams.sink(events, pipeline.stages[-1].parallelism, chained=is_one)


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
    try:
        settings = JobSettings.from_arguments(chosen, pipeline)
        build(pipeline, settings).execute(f"sluice-{pipeline.name}")
    except (SettingsError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
