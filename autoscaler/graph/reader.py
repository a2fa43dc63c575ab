"""Reads a pipeline file; docs/pipeline-file.md lists every key.

A wrong file raises PipelineErrors (a PipelineError), which lists all that is wrong with it, one line for each:
`file:line: what is wrong; the mend`.

The graph: `after` is the stage written before, for the first stage the source. A stage with `when` is a branch: an event
that does not meet it goes past the stage to the stage's successors, so what comes after a branch gets both those that
took it and those that went past. autoscaler/graph/routes.py states the rule for several branches.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

from autoscaler.graph.checks import check
from autoscaler.graph.pipeline import (
    SOURCE,
    Budget,
    Delivery,
    ForeignModel,
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
    State,
    Topic,
    VariantSpec,
)
from autoscaler.graph.scaling import Fallback, Period, Scaling, parse_period
from autoscaler.graph.section import NAME, NAME_MEND, Section, one_of
from autoscaler.graph.tree import Report, load, read_text

FIELD_TYPES = ("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "STRING")
RESERVED = (SOURCE, "sink")  # no stage may be called so

_PIPELINE_KEYS = (
    ["pipeline", "slo", "slo_share", "objective", "budget", "order", "delivery", "source", "sink", "dead_letters", "join", "stages", "autoscaler"]
)
_SERVED_KEYS = ["variants", "variant", "batch", "replicas", "cores", "output", "model", "fan_out", "input", "state"]  # not for a plain join
_STAGE_KEYS = ["operator", "endpoint", "after", "when", "join", "parallelism", "on_late", *_SERVED_KEYS]
_SCALING_KEYS = ("policy", "enabled", "stale_after", "fallback", "cool_down", "excluded")
_DATATYPES = ("BYTES", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")

_STATE_BYTES_MOST = 16 << 20  # it travels with every turn of its key

_OPERATOR = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_POLICY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_FIELD = re.compile(r"[A-Za-z_]\w{0,62}", re.ASCII)


def read_pipeline(path: Path | str) -> Pipeline:
    """The pipeline in that file."""
    return parse_pipeline(read_text(Path(path)), str(path))


def parse_pipeline(text: str, name: str) -> Pipeline:
    """The pipeline in that text; `name` is what errors call the file."""
    report = Report(name)
    pipeline = _pipeline(Section(report, "", load(text, report), _PIPELINE_KEYS))
    check(pipeline, report)
    report.raise_if_any()
    return pipeline


def _pipeline(root: Section) -> Pipeline:
    root.need("pipeline", "slo", "source", "sink", "dead_letters", "stages")
    budget = root.section("budget", ("cores", "replicas", "gpu_slots"))
    join = root.section("join", ("horizon", "incomplete"))
    return Pipeline(
        name=root.name("pipeline", "") or "",
        slo_ms=root.duration_ms("slo", 100.0),
        slo_share=root.share("slo_share", 0.99, zero=False) or 0.99,
        objective=root.choice("objective", Objective, Objective.ACCURACY),
        budget=Budget(budget.whole("cores", None), budget.whole("replicas", None), budget.whole("gpu_slots", None, least=0)),
        order=root.choice("order", Order, Order.NONE),
        delivery=root.choice("delivery", Delivery, Delivery.AT_LEAST_ONCE),
        source=_topic(root, "source", ("topic", "format", "partitions")),
        sink=_topic(root, "sink", ("topic", "format", "partitions")),
        dead_letters=_topic(root, "dead_letters", ("topic", "partitions")),
        join=Join(join.duration_ms("horizon", Join().horizon_ms), join.choice("incomplete", Incomplete, Incomplete.PARTIAL)),
        stages=_stages(root),
        autoscaler=_scaling(root),
    )


def _scaling(root: Section) -> Scaling:
    section, default = root.section("autoscaler", _SCALING_KEYS), Scaling()
    return Scaling(
        section.text("policy", form=_POLICY, mend="name a policy, as in sluice; `sluice compare` lists them"),
        section.flag("enabled", default.enabled),
        section.duration_ms("stale_after", default.stale_after_ms),
        section.choice("fallback", Fallback, default.fallback),
        section.duration_ms("cool_down", default.cool_down_ms),
        _periods(section),
    )


def _periods(section: Section) -> tuple[Period, ...]:
    listed = section.raw("excluded") if "excluded" in section else []
    try:
        return tuple(parse_period(str(item)) for item in (listed if isinstance(listed, list) else [listed]))
    except ValueError as error:
        section.wrong("excluded", f"holds what is no period ({error})", 'write daily ones in UTC, as in ["22:00-06:00"]')
        return ()


def _topic(root: Section, key: str, known: tuple[str, ...]) -> Topic:
    section = root.section(key, known)
    if key in root and isinstance(root.raw(key), dict):
        section.need("topic")
    name = section.text("topic", "", form=_TOPIC, mend="use up to 249 of a-z, A-Z, 0-9, '.', '_' and '-'") or ""
    return Topic(name, section.whole("partitions", 2, most=10_000) or 1, section.choice("format", Format, Format.RAW))


def _stages(root: Section) -> tuple[Stage, ...]:
    section = root.section("stages")
    if root.raw("stages") == {}:
        root.wrong("stages", "is empty", "write at least one stage")
    stages: list[Stage] = []
    for name in section:
        if NAME.fullmatch(name) is None:
            section.wrong(name, "is no name", NAME_MEND)
        elif name in RESERVED:
            section.wrong(name, "is a name of Sluice's own", "use another name")
        before = stages[-1].name if stages else SOURCE
        stages.append(_stage(section.section(name, _STAGE_KEYS), name, before))
    return tuple(stages)


def _stage(section: Section, name: str, before: str) -> Stage:
    join = section.text("join")
    operator = section.text("operator", form=_OPERATOR, mend="write module:Class")
    is_foreign = "endpoint" in section
    if "operator" not in section and not is_foreign:
        if join is None:
            section.need("operator")
        else:
            return _plain_join(section, name, before, join)
    if join is not None:
        _refuse(section, ("when", "input"), "join")
    endpoint = section.text("endpoint", form=_ENDPOINT, mend="write host:port")
    if is_foreign:
        _refuse(section, ("replicas", "cores", "fan_out", "state"), "endpoint")
    elif "model" in section:
        section.wrong("model", "is for a foreign endpoint", "remove it, or add endpoint: host:port")
    variants = () if is_foreign and "variants" not in section else _variants(section)
    if "state" in section:
        _refuse(section, ("when",), "state, whose keys need every event")
        if section.raw("on_late") == OnLate.DEAD_LETTER:
            section.wrong("on_late", "is 'dead-letter', but the next events of a key need the late ones", "use answer, or remove it")
    return Stage(
        name=name,
        after=section.names("after") or (before,),
        operator=operator,
        variants=variants,
        variant=_start(section, variants),
        input=section.text("input"),
        when=section.text("when", mend="write a condition, as in \"confidence < 0.8\""),
        fan_out=section.flag("fan_out", False),
        join=join,
        on_late=section.choice("on_late", OnLate, OnLate.ANSWER),
        parallelism=section.whole("parallelism", 1, most=1000) or 1,
        batch_max=section.section("batch", ("max",)).whole("max", 64, most=65_536) or 1,
        replicas=_replicas(section),
        cores=section.eighths("cores", 1, most=1024),
        output=_output(section),
        endpoint=endpoint,
        model=_foreign_model(section) if is_foreign else None,
        state=_state(section) if "state" in section else None,
    )


def _state(stage: Section) -> State:
    section = stage.section("state", ("key", "ttl", "max_bytes"))
    if isinstance(stage.raw("state"), dict):
        section.need("ttl")
    field = section.text("key", form=_FIELD, mend="name a field of the row, or remove it for the event's own key")
    default = State(0.0)
    max_bytes = section.whole("max_bytes", default.max_bytes, most=_STATE_BYTES_MOST) or default.max_bytes
    return State(section.duration_ms("ttl", default.ttl_ms), field, max_bytes)


def _foreign_model(stage: Section) -> ForeignModel:
    section = stage.section("model", ("name", "version", "input", "datatype", "shape", "timeout"))
    default = ForeignModel()
    datatype = section.text("datatype", default.datatype) or default.datatype
    if datatype not in _DATATYPES:
        section.wrong("datatype", f"is {datatype!r}", f"use {one_of(_DATATYPES)}")
    shape = section.raw("shape") if "shape" in section else []
    if not isinstance(shape, list) or not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
        section.wrong("shape", "is no shape of a row", "write a list of whole numbers, as in [3, 224, 224], without the batch")
        shape = []
    elif prod(shape) != 1 and datatype == "BYTES":
        section.wrong("shape", "does not go with BYTES, of which a row is one", "write [1] where the model wants that, or name the datatype")
    return ForeignModel(
        section.text("name"),
        section.text("version", default.version) or default.version,
        section.text("input", default.input) or default.input,
        datatype,
        tuple(shape),
        section.duration_ms("timeout", default.timeout_ms),
    )


def _plain_join(section: Section, name: str, before: str, join: str) -> Stage:
    """A join without operator: the array of the children's values is its output."""
    _refuse(section, ("when", *_SERVED_KEYS), "join, without an operator")
    return Stage(
        name=name,
        after=section.names("after") or (before,),
        operator=None,
        variants=(),
        variant=None,
        join=join,
        on_late=section.choice("on_late", OnLate, OnLate.ANSWER),
        parallelism=section.whole("parallelism", 1, most=1000) or 1,
        output=Output(Format.JSON),
    )


def _refuse(section: Section, keys: tuple[str, ...] | list[str], beside: str) -> None:
    for key in keys:
        if key in section:
            section.wrong(key, f"does not go with {beside}", "remove it")


def _variants(stage: Section) -> tuple[VariantSpec, ...]:
    stage.need("variants")
    section = stage.section("variants")
    if stage.raw("variants") == {}:
        stage.wrong("variants", "is empty", "write at least one variant")
    variants = []
    for name in section:
        if NAME.fullmatch(name) is None:
            section.wrong(name, "is no name", NAME_MEND)
        variant = section.section(name)
        if isinstance(section.raw(name), dict):
            variant.need("accuracy")
        options = {key: variant.raw(key) for key in variant if key != "accuracy"}
        variants.append(VariantSpec(name, variant.share("accuracy", 0.0) or 0.0, options))
    return tuple(variants)


def _start(stage: Section, variants: tuple[VariantSpec, ...]) -> str | None:
    """The named variant; by default the most accurate, of equals the one written first."""
    names = [variant.name for variant in variants]
    named = stage.text("variant")
    if named is not None and names and named not in names:
        stage.wrong("variant", f"is {named!r}", f"use {one_of(names)}")
    if named in names or not names:
        return named
    return max(variants, key=lambda variant: variant.accuracy).name


def _replicas(stage: Section) -> Replicas:
    """`initial` is by default `min`; `max` is by default 4, or `initial` where that is more."""
    section = stage.section("replicas", ("initial", "min", "max", "spares"))
    least = section.whole("min", Replicas().min, most=1000) or 1
    initial = section.whole("initial", least, most=1000) or 1
    most = section.whole("max", max(Replicas().max, initial), most=1000) or 1
    if initial < least:
        section.wrong("initial", f"is {initial}, less than min ({least})", f"use at least {least}")
    if most < initial:
        section.wrong("max", f"is {most}, less than {'initial' if 'initial' in section else 'min'} ({initial})", f"use at least {initial}")
    spares = section.whole("spares", Replicas().spares, least=0, most=16)
    return Replicas(initial, least, most, Replicas().spares if spares is None else spares)


def _output(stage: Section) -> Output:
    section = stage.section("output", ("format", "fields"))
    form = section.choice("format", Format, Format.RAW)
    fields = section.section("fields")
    types: dict[str, str] = {}
    for name in fields:
        if _FIELD.fullmatch(name) is None:
            fields.wrong(name, "is no name of a field", "use letters, digits and _")
        kind = fields.raw(name)
        if not isinstance(kind, str) or kind.upper() not in FIELD_TYPES:
            fields.wrong(name, f"is {kind!r}", f"use {one_of(FIELD_TYPES)}")
            continue
        types[name] = kind.upper()
    if types and form is Format.RAW:
        section.wrong("fields", "asks for JSON", "add format: json to output")
    return Output(form, types)
