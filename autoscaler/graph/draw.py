"""A pipeline as text of at most 80 columns: what `sluice check` prints.

The rail on the left is single for events and double for children of a fan-out, one more to the right for each level.
"""

from __future__ import annotations

import textwrap

from autoscaler.graph.durations import format_duration
from autoscaler.graph.pipeline import SOURCE, Pipeline, Stage, State, Topic
from autoscaler.graph.routes import Choice, choices, feeders
from autoscaler.graph.shares import deadline_shares

WIDTH = 80
LABEL = 11  # columns of a line's label


def draw(pipeline: Pipeline) -> str:
    """The whole drawing; every line ends without spaces, the last without a newline."""
    shares = deadline_shares(pipeline)
    frames = fan_outs_within(pipeline)
    lines = _head(pipeline)
    lines += ["", f"{pipeline.source.name}  ({_topic(pipeline.source)})"]
    lines += _ways(pipeline, SOURCE, "│")
    for stage in pipeline.stages:
        lines += _stage(pipeline, stage, len(frames[stage.name]), shares[stage.name])
    lines += ["▼", f"{pipeline.sink.name}  ({_topic(pipeline.sink)})"]
    return "\n".join(line.rstrip() for line in lines)


def fan_outs_within(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """For each stage, the fan-outs whose children its rows are, outermost first; empty at and after their join."""
    after: dict[str, tuple[str, ...]] = {SOURCE: ()}
    here: dict[str, tuple[str, ...]] = {}
    feeding = feeders(pipeline.stages)
    for stage in pipeline.stages:
        frames = after[feeding[stage.name][0]]
        here[stage.name] = frames[:-1] if stage.join is not None else frames
        after[stage.name] = (*here[stage.name], stage.name) if stage.fan_out else here[stage.name]
    return here


def _head(pipeline: Pipeline) -> list[str]:
    budget = [
        f"{amount} {unit}"
        for unit, amount in (
            ("cores", pipeline.budget.cores),
            ("replicas", pipeline.budget.replicas),
            ("GPU slots", pipeline.budget.gpu_slots),
        )
        if amount is not None
    ]
    lines = _labelled("pipeline", pipeline.name, "")
    lines += _labelled("slo", f"{pipeline.slo_share:.10g} of the events within {format_duration(pipeline.slo_ms)}", "")
    lines += _labelled("aims at", f"{pipeline.objective}; budget {', '.join(budget) or 'unlimited'}", "")
    lines += _labelled("delivery", f"{pipeline.delivery}; order {pipeline.order}", "")
    dead = pipeline.dead_letters
    return lines + _labelled("dead", f"{dead.name}  ({_count(dead.partitions, 'partition')})", "")


def _stage(pipeline: Pipeline, stage: Stage, depth: int, share: float) -> list[str]:
    rail = "║" * depth or "│"
    lines = ["║" * (depth + 1) if stage.join is not None else rail]
    if stage.join is not None:
        horizon = format_duration(pipeline.join.horizon_ms)
        lines.append(f"{'║' * depth}╙─ the children of {stage.join} come together: within {horizon}, else {pipeline.join.incomplete}")
    lines += _wrapped(f"{rail[:-1]}{'╠═' if depth else '├─'} ", f"{stage.name}{_marks(stage)}", f"{rail}  ")
    body = f"{rail}    "
    if stage.operator is not None:
        lines += _labelled("operator", stage.operator, body)
    if stage.variants:
        lines += _labelled("variants", ", ".join(_variants(stage)), body)
    if not stage.is_plain_join:
        lines += _labelled("setting", _setting(stage), body)
        lines += _labelled("deadline", f"{share:.0%} of what is left; late ones: {stage.on_late}", body)
    if stage.state is not None:
        lines += _labelled("state", _state(stage.state), body)
    if stage.endpoint is not None:
        lines += _labelled("endpoint", f"{stage.endpoint}{_model(stage)}", body)
    if stage.input is not None:
        lines += _labelled("row", f"what {stage.input} gave, not the latest value", body)
    lines += _labelled("answer", _answer(stage), body)
    if stage.fan_out:
        body = f"{'║' * (depth + 1)}    "
    return lines + _ways(pipeline, stage.name, body)


def _marks(stage: Stage) -> str:
    return "  fans out: each answer becomes an event" if stage.fan_out else ""


def _ways(pipeline: Pipeline, name: str, body: str) -> list[str]:
    """Where events go from here; nothing where that is simply the next stage, or from the last one the sink."""
    ways = choices(pipeline.stages, name)
    names = [SOURCE, *(stage.name for stage in pipeline.stages), None]
    if ways == (Choice(names[names.index(name) + 1], None),):
        return []
    lines = []
    for way in ways:
        to = way.to or "the sink"
        otherwise = ", otherwise" if len(ways) > 1 else ""
        lines += _labelled("goes to", f"{to}, when {way.when}" if way.when else f"{to}{otherwise}", body)
    return lines


def _variants(stage: Stage) -> list[str]:
    return [
        f"{variant.name} {variant.accuracy:.10g}{' (starts)' if variant.name == stage.variant else ''}"
        for variant in stage.variants
    ]


def _model(stage: Stage) -> str:
    model = stage.model
    if model is None:
        return ""
    shape = f" of {' x '.join(map(str, model.shape))}" if model.shape else ""
    return f": model {model.name or stage.name}, input {model.input}, {model.datatype}{shape}"


def _state(state: State) -> str:
    key = "the event's key" if state.field is None else f"key {state.field}"
    return f"per {key}; anew after {format_duration(state.ttl_ms)} without an event; up to {state.max_bytes} bytes"


def _setting(stage: Stage) -> str:
    replicas = stage.replicas
    parts = [f"batch up to {stage.batch_max}"]
    if stage.endpoint is None:
        parts.append(f"{_count(replicas.initial, 'replica')} ({replicas.min} to {replicas.max})")
        parts.append(f"{_count(stage.cores, 'core')} each")
    return "; ".join([*parts, _count(stage.parallelism, "proxy", "proxies")])


def _answer(stage: Stage) -> str:
    fields = ", ".join(f"{name} {kind}" for name, kind in stage.output.fields.items())
    return f"{stage.output.format}{': ' if fields else ''}{fields}"


def _topic(topic: Topic) -> str:
    return f"{topic.format}, {_count(topic.partitions, 'partition')}"


def _count(number: float, one: str, many: str | None = None) -> str:
    return f"{number:g} {one if number == 1 else many or one + 's'}"


def _labelled(label: str, text: str, body: str) -> list[str]:
    return _wrapped(f"{body}{label:<{LABEL}}", text, f"{body}{'':<{LABEL}}")


def _wrapped(first: str, text: str, following: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=following, break_on_hyphens=False, replace_whitespace=True
    )
