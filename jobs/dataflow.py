"""How a pipeline's graph becomes a dataflow: which streams meet before each stage, where events are routed, which values are kept.

Pure: it knows the pipeline, not Flink. `jobs/pipeline.py` lays the parts out as streams.

Routing. Let X be a node and S the stages after it, in the file's order. An event that leaves X goes to the first stage of S whose
condition it meets, else to the stage of S without one; if every stage of S has a condition, it goes past the last of them and leaves
with that stage's events. So an event is always in one place: routing never copies it.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.graph.pipeline import SOURCE, Order, Pipeline, Stage
from autoscaler.graph.routes import takers

ORIGINAL = -1
"""Slot number of the source's value, which every event keeps anyway (dead letters need it)."""
LATEST = -2
"""Slot number that means: the row is the event's latest value."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way out of a node: events that meet `when` (None: all that met no condition before) go to the stage `to`."""

    to: str
    when: str | None


@dataclass(frozen=True, slots=True)
class Crossing:
    """All ways out of `node`. past: the stage with whose events those leave that meet no condition; None when a route takes the rest."""

    node: str
    routes: tuple[Route, ...]
    past: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """A stage laid out. read_slot: where its row is (LATEST, ORIGINAL or a number); write_slot: where its value is kept, None = nowhere;
    ordered: events must be put back into the source's order before it, because it keeps state and stages before it mix them up;
    same_model: stages before it in the file that may run the same model, so that it is asked for the version which an event met there."""

    stage: Stage
    read_slot: int
    write_slot: int | None
    ordered: bool = False
    same_model: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataflow:
    """steps in topological order; crossings by node; a node without one feeds the sink."""

    steps: tuple[Step, ...]
    crossings: dict[str, Crossing]

    def numbered(self, pipeline: Pipeline) -> bool:
        """Whether events must be numbered at the source, to be put back into its order later."""
        return pipeline.order is Order.KEY or any(step.ordered for step in self.steps)

    def slots_between(self, join: Step) -> list[int]:
        """Slots written from the fan-out that this step joins up to the join, in the file's order: they hold the children's values."""
        names = [step.stage.name for step in self.steps]
        between = self.steps[names.index(join.stage.join):names.index(join.stage.name)]
        return [step.write_slot for step in between if step.write_slot is not None]


def lay_out(pipeline: Pipeline) -> Dataflow:
    """The dataflow of a checked pipeline."""
    nodes = [SOURCE, *(stage.name for stage in pipeline.stages)]
    crossings = {node: crossing for node in nodes if (crossing := _crossing(node, pipeline)) is not None}
    slots = _slots(pipeline)
    steps = tuple(
        Step(stage, _read_slot(stage, slots), slots.get(stage.name), _ordered(stage), _same_model(stage, pipeline.stages[:number]))
        for number, stage in enumerate(pipeline.stages)
    )
    return Dataflow(steps, crossings)


def _ordered(stage: Stage) -> bool:
    return stage.state is not None and stage.after != (SOURCE,)


def _same_model(stage: Stage, before: tuple[Stage, ...]) -> tuple[str, ...]:
    return tuple(other.name for other in before if stage.shares_model(other))


def _crossing(node: str, pipeline: Pipeline) -> Crossing | None:
    following = takers(pipeline.stages, node)
    if not following:
        return None
    routes = tuple(Route(stage.name, stage.when) for stage in following)
    takes_rest = [route for route in routes if route.when is None]
    if len(takes_rest) > 1:
        names = ", ".join(route.to for route in takes_rest)
        raise ValueError(f"{names} all come after {node} without a condition; give all but one a 'when'")
    return Crossing(node, routes, None if takes_rest else routes[-1].to)


def _slots(pipeline: Pipeline) -> dict[str, int]:
    wanted = {stage.input for stage in pipeline.stages} - {None, SOURCE}
    return {stage.name: number for number, stage in enumerate(s for s in pipeline.stages if s.name in wanted)}


def _read_slot(stage: Stage, slots: dict[str, int]) -> int:
    if stage.input is None:
        return LATEST
    return ORIGINAL if stage.input == SOURCE else slots[stage.input]
