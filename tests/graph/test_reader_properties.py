"""Random pipelines, written as YAML, read back equal."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.graph.draw import draw
from autoscaler.graph.durations import format_duration, parse_duration
from autoscaler.graph.errors import PipelineErrors
from autoscaler.graph.pipeline import (
    SOURCE,
    Budget,
    Delivery,
    Format,
    Incomplete,
    Join,
    Objective,
    OnLate,
    Order,
    Output,
    Pipeline,
    Replicas,
    Stage,
    Topic,
    VariantSpec,
)
from autoscaler.graph.reader import FIELD_TYPES, parse_pipeline
from autoscaler.graph.shares import deadline_shares

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name not in ("source", "sink"))
TOPICS = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,12}", fullmatch=True)
SHARES = st.floats(0, 1).map(lambda share: round(share, 4))
DURATIONS_MS = st.integers(1, 3_600_000).map(float) | st.integers(1, 9999).map(lambda tenths: tenths / 10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
FIELDS = {"x": "INT"}  # every stage has it, so that any stage may be followed by a branch


@st.composite
def variants(draw_):
    names = draw_(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    options = st.dictionaries(NAMES.filter(lambda name: name != "accuracy"), VALUES, max_size=3)
    return tuple(VariantSpec(name, draw_(SHARES), draw_(options)) for name in names)


@st.composite
def served(draw_, name, after, **given_):
    chosen = draw_(variants())
    least = draw_(st.integers(1, 3))
    initial = draw_(st.integers(least, 5))
    return Stage(
        name=name,
        after=after,
        operator=draw_(st.sampled_from(["m:C", "a.b_c.d:Class_2"])),
        variants=chosen,
        variant=draw_(st.sampled_from(chosen)).name,
        on_late=draw_(st.sampled_from(OnLate)),
        parallelism=draw_(st.integers(1, 8)),
        batch_max=draw_(st.integers(1, 512)),
        replicas=Replicas(initial, least, draw_(st.integers(initial, 9))),
        cores=draw_(st.integers(1, 8)),
        output=Output(Format.JSON, {**FIELDS, **draw_(st.dictionaries(st.sampled_from(["y", "Z_1"]), st.sampled_from(FIELD_TYPES)))}),
        **given_,
    )


@st.composite
def graphs(draw_):
    """A chain with branches and shortcuts past them, and perhaps a fan-out and its join somewhere in it."""
    names = draw_(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    fan_out, join = draw_(st.tuples(st.integers(0, 5), st.integers(0, 6)))
    has_join = fan_out < join < len(names)
    stages: list[Stage] = []
    for index, name in enumerate(names):
        before = stages[-1] if stages else None
        after = (before.name if before else SOURCE,)
        if before is not None and before.when is not None and draw_(st.booleans()):
            after = (*before.after, before.name)  # the way past the branch, written out
        if has_join and index == join and draw_(st.booleans()):
            stages.append(Stage(name, after, None, (), None, join=names[fan_out], output=Output(Format.JSON)))
            continue
        joins = has_join and index == join
        fans_out = has_join and index == fan_out
        silent = before is None or any(stage.operator is None for stage in stages)  # then no fields to ask for
        when = None if joins or fans_out or silent else draw_(st.sampled_from([None, "x < 1", "`x` IS NULL OR x <> 3"]))
        row = None if joins else draw_(st.sampled_from([None, SOURCE]))
        stages.append(draw_(served(name, after, when=when, fan_out=fans_out, input=row, join=names[fan_out] if joins else None)))
    return tuple(stages)


@st.composite
def pipelines(draw_):
    topics = draw_(st.lists(TOPICS, min_size=3, max_size=3, unique=True))
    formats = st.sampled_from(Format)
    counts = st.integers(1, 64)
    return Pipeline(
        name=draw_(NAMES),
        slo_ms=draw_(DURATIONS_MS),
        source=Topic(topics[0], draw_(counts), draw_(formats)),
        sink=Topic(topics[1], draw_(counts), draw_(formats)),
        dead_letters=Topic(topics[2], draw_(counts)),
        stages=draw_(graphs()),
        slo_share=draw_(SHARES.filter(lambda share: share > 0)),
        objective=draw_(st.sampled_from(Objective)),
        budget=Budget(draw_(st.none() | st.integers(500, 900)), draw_(st.none() | st.integers(500, 900)), draw_(st.none() | st.just(0))),
        order=draw_(st.sampled_from(Order)),
        delivery=draw_(st.sampled_from(Delivery)),
        join=Join(draw_(DURATIONS_MS), draw_(st.sampled_from(Incomplete))),
    )


def topic_keys(topic: Topic) -> dict:
    return {"topic": topic.name, "partitions": topic.partitions, "format": str(topic.format)}


def stage_keys(stage: Stage) -> dict:
    keys = {"after": list(stage.after), "on_late": str(stage.on_late), "parallelism": stage.parallelism}
    keys |= {key: getattr(stage, key) for key in ("when", "join", "input") if getattr(stage, key) is not None}
    if stage.operator is None:
        return keys
    replicas = stage.replicas
    return keys | {
        "operator": stage.operator,
        "fan_out": stage.fan_out,
        "variants": {variant.name: {"accuracy": variant.accuracy, **variant.options} for variant in stage.variants},
        "variant": stage.variant,
        "batch": {"max": stage.batch_max},
        "replicas": {"initial": replicas.initial, "min": replicas.min, "max": replicas.max},
        "cores": stage.cores,
        "output": {"format": str(stage.output.format), "fields": dict(stage.output.fields)},
    }


def written(pipeline: Pipeline) -> str:
    budget = {key: getattr(pipeline.budget, key) for key in ("cores", "replicas", "gpu_slots")}
    keys = {
        "pipeline": pipeline.name,
        "slo": format_duration(pipeline.slo_ms),
        "slo_share": pipeline.slo_share,
        "objective": str(pipeline.objective),
        "budget": {key: amount for key, amount in budget.items() if amount is not None},
        "order": str(pipeline.order),
        "delivery": str(pipeline.delivery),
        "source": topic_keys(pipeline.source),
        "sink": topic_keys(pipeline.sink),
        "dead_letters": {"topic": pipeline.dead_letters.name, "partitions": pipeline.dead_letters.partitions},
        "join": {"horizon": format_duration(pipeline.join.horizon_ms), "incomplete": str(pipeline.join.incomplete)},
        "stages": {stage.name: stage_keys(stage) for stage in pipeline.stages},
    }
    return yaml.safe_dump(keys, sort_keys=False, allow_unicode=True)


@settings(max_examples=30, deadline=None)
@given(pipelines())
def test_a_pipeline_written_and_read_back_is_the_same(pipeline):
    assert parse_pipeline(written(pipeline), "f") == pipeline


@settings(max_examples=20, deadline=None)
@given(pipelines())
def test_every_pipeline_can_be_drawn_and_has_shares(pipeline):
    assert all(len(line) <= 80 for line in draw(pipeline).split("\n"))
    assert all(0 < share <= 1 or pipeline.stage(name).operator is None for name, share in deadline_shares(pipeline).items())


@settings(max_examples=30, deadline=None)
@given(pipelines(), st.data())
def test_a_damaged_file_is_read_or_refused_with_a_line(pipeline, data):
    lines = written(pipeline).split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.sampled_from([*lines, "  a: [", "  b: {c: 1}", "- d", "x: ''"]), max_size=2))
    assert all(1 <= line <= len(lines) + 1 for line in faulty_lines("\n".join(lines)))


def faulty_lines(text: str) -> list[int]:
    try:
        parse_pipeline(text, "f")
    except PipelineErrors as errors:
        return [error.line for error in errors.errors]
    return []


@given(DURATIONS_MS)
def test_a_duration_reads_back_as_written(duration_ms):
    assert parse_duration(format_duration(duration_ms)) == duration_ms
