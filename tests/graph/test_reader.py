"""Wrong pipeline files and the errors they give: line, what is wrong, the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoscaler.graph.errors import PipelineError, PipelineErrors
from autoscaler.graph.pipeline import SOURCE, Delivery, ForeignModel, Format, OnLate, Replicas
from autoscaler.graph.reader import parse_pipeline, read_pipeline
from autoscaler.graph.scaling import Fallback, Period, Scaling

PIPELINES = Path(__file__).parents[2] / "pipelines"

# Line 1 to 5; the stages of a case begin on line 7.
HEAD = """\
pipeline: p
slo: 100 ms
source: {topic: in}
sink: {topic: out}
dead_letters: {topic: dead}
"""
SERVED = "operator: 'm:C', variants: {v: {accuracy: 0.9}}"
FIELDS = "output: {format: json, fields: {x: INT}}"
ONE = f"stages:\n  a: {{{SERVED}}}\n"


def stages(*lines: str) -> str:
    """`name: settings` each, with operator and variants added; the first one is on line 7."""
    return HEAD + "stages:\n" + "".join(f"  {line.replace('SERVED', SERVED).replace('FIELDS', FIELDS)}\n" for line in lines)


WRONG_VALUES = [
    # values of the pipeline
    (HEAD + ONE + "speed: 3\n", "f:8: speed is not a key of the pipeline file; use pipeline, slo, slo_share, objective, budget, "
     "order, delivery, source, sink, dead_letters, join, stages or autoscaler"),
    (HEAD + ONE + "ordre: key\n", "f:8: ordre is not a key of the pipeline file; did you mean order?"),
    (HEAD + ONE + "slo: 1 s\n", "f:8: slo is there twice, first on line 2; remove one"),
    (HEAD + ONE + "order: keys\n", "f:8: order is 'keys'; use none or key"),
    (HEAD + ONE + "delivery: true\n", "f:8: delivery is true; use at-least-once or exactly-once"),
    (HEAD + ONE + "objective: speed\n", "f:8: objective is 'speed'; use accuracy, cost or balanced"),
    (HEAD + ONE + "slo_share: 0\n", "f:8: slo_share is 0; use a number above 0 and up to 1"),
    (HEAD + ONE + "slo_share: .nan\n", "f:8: slo_share is .nan; write a finite number"),
    (HEAD + ONE + "join: {horizon: 2 s, incomplete: drop}\n", "f:8: join.incomplete is 'drop'; use partial or dead-letter"),
    (HEAD + ONE + "join: {horizon: 0 s}\n", "f:8: join.horizon is '0 s'; use more than 0 ms and at most 1440 min"),
    (HEAD + ONE + "budget: {cores: 0}\n", "f:8: budget.cores is 0; use a whole number from 1 to 1000000"),
    (HEAD + ONE + "budget: {cores: two}\n", "f:8: budget.cores is 'two'; use a whole number from 1 to 1000000"),
    (HEAD + ONE + "budget: 3\n", "f:8: budget is 3; write a mapping, key: value"),
    (HEAD + ONE + "? [a]\n: 1\n", "f:8: the key a list or mapping is not text; put it in quotes"),
    (HEAD + ONE + "yes: 1\n", "f:8: the key 'yes' is not text; put it in quotes"),
    (HEAD + ONE + "order: 2026-01-01\n", "f:8: order is of the kind timestamp; write plain text, a number, true or false, or put it in quotes"),
    (HEAD + ONE + "order: !!python/name:os.system ''\n",
     "f:8: order is of the kind python/name:os.system; write plain text, a number, true or false, or put it in quotes"),
    (HEAD.replace("100 ms", "100") + ONE, "f:2: slo is 100; write a number and a unit, as in 100 ms"),
    (HEAD.replace("100 ms", "100 sec") + ONE, "f:2: slo is '100 sec'; use the unit ms, s or min"),
    (HEAD.replace("100 ms", "-1 s") + ONE, "f:2: slo is '-1 s'; write a number and a unit, as in 100 ms"),
    (HEAD.replace("100 ms", "3000 min") + ONE, "f:2: slo is '3000 min'; use more than 0 ms and at most 1440 min"),
    (HEAD.replace("pipeline: p", "pipeline: P!") + ONE, "f:1: pipeline is 'P!'; use a-z, then up to 62 of a-z, 0-9, _ and -"),
    (HEAD.replace("pipeline: p", "name: p") + ONE, "f:1: name is not a key of the pipeline file; use pipeline, slo, slo_share, "
     "objective, budget, order, delivery, source, sink, dead_letters, join, stages or autoscaler\nf:1: pipeline is missing; add pipeline"),
    (HEAD.replace("topic: in}", "topic: out}") + ONE, "f:4: sink.topic is 'out', as source.topic is; use a topic of its own"),
    (HEAD.replace("topic: in}", "topic: a b}") + ONE,
     "f:3: source.topic is 'a b'; use up to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"),
    (HEAD.replace("topic: in}", "partitions: 1.5}") + ONE,
     "f:3: source.topic is missing; add topic\nf:3: source.partitions is 1.5; use a whole number from 1 to 10000"),
    (HEAD.replace("topic: in}", "topic: in, format: xml}") + ONE, "f:3: source.format is 'xml'; use raw or json"),
    (HEAD.replace("topic: dead}", "topic: dead, format: json}") + ONE,
     "f:5: dead_letters.format is not a key of the pipeline file; use topic or partitions"),
    (HEAD + ONE + "autoscaler: {policy: Sluice}\n", "f:8: autoscaler.policy is 'Sluice'; name a policy, as in sluice; `sluice compare` lists them"),
    (HEAD + ONE + "autoscaler: {fallback: stop}\n", "f:8: autoscaler.fallback is 'stop'; use hold or last-safe"),
    (HEAD + ONE + "autoscaler: {excluded: ['25:00-26:00']}\n",
     "f:8: autoscaler.excluded holds what is no period ('25:00-26:00' is no period of a day); write daily ones in UTC, as in [\"22:00-06:00\"]"),
    (HEAD, "f:1: stages is missing; add stages"),
    (HEAD + "stages: {}\n", "f:6: stages is empty; write at least one stage"),
    (HEAD + "stages: [a]\n", "f:6: stages is a list; write a mapping, key: value"),
]

WRONG_STAGES = [
    # values of a stage
    (stages("A: {SERVED}"), "f:7: stages.A is no name; use a-z, then up to 62 of a-z, 0-9, _ and -"),
    (stages("sink: {SERVED}"), "f:7: stages.sink is a name of Sluice's own; use another name"),
    (stages("a:"), "f:7: stages.a is empty; write a mapping, key: value\n"
     "f:7: stages.a.operator is missing; add operator\nf:7: stages.a.variants is missing; add variants"),
    (stages("a: {variants: {v: {accuracy: 1}}}"), "f:7: stages.a.operator is missing; add operator"),
    (stages("a: {operator: m.C, variants: {v: {accuracy: 1}}}"), "f:7: stages.a.operator is 'm.C'; write module:Class"),
    (stages("a: {operator: '../m:C', variants: {v: {accuracy: 1}}}"), "f:7: stages.a.operator is '../m:C'; write module:Class"),
    (stages("a: {operator: 'm:C'}"), "f:7: stages.a.variants is missing; add variants"),
    (stages("a: {operator: 'm:C', variants: {}}"), "f:7: stages.a.variants is empty; write at least one variant"),
    (stages("a:", "  operator: 'm:C'", "  variants:", "    v: {accuracy: 1.1}"),
     "f:10: stages.a.variants.v.accuracy is 1.1; use a number from 0 to 1"),
    (stages("a: {operator: 'm:C', variants: {v: {}}}"), "f:7: stages.a.variants.v.accuracy is missing; add accuracy"),
    (stages("a: {operator: 'm:C', variants: {V: {accuracy: 1}}}"),
     "f:7: stages.a.variants.V is no name; use a-z, then up to 62 of a-z, 0-9, _ and -"),
    (stages("a: {operator: 'm:C', variants: {v: {accuracy: 1}, w: {accuracy: 0}}, variant: u}"), "f:7: stages.a.variant is 'u'; use v or w"),
    (stages("a: {SERVED, on_late: drop}"), "f:7: stages.a.on_late is 'drop'; use answer or dead-letter"),
    (stages("a: {SERVED, paralellism: 2}"), "f:7: stages.a.paralellism is not a key of the pipeline file; did you mean parallelism?"),
    (stages("a: {SERVED, batch: {max: 0}}"), "f:7: stages.a.batch.max is 0; use a whole number from 1 to 65536"),
    (stages("a: {SERVED, batch: 8}"), "f:7: stages.a.batch is 8; write a mapping, key: value"),
    (stages("a: {SERVED, cores: true}"), "f:7: stages.a.cores is true; use a multiple of 0.125 from 0.125 to 1024"),
    (stages("a: {SERVED, cores: 0.3}"), "f:7: stages.a.cores is 0.3; use a multiple of 0.125 from 0.125 to 1024"),
    (stages("a: {SERVED, cores: 0}"), "f:7: stages.a.cores is 0; use a multiple of 0.125 from 0.125 to 1024"),
    (stages("a: {SERVED, replicas: {spares: 17}}"), "f:7: stages.a.replicas.spares is 17; use a whole number from 0 to 16"),
    (stages("a: {SERVED, fan_out: 1}"), "f:7: stages.a.fan_out is 1; use true or false"),
    (stages("a: {SERVED, replicas: {initial: 1, min: 2}}"), "f:7: stages.a.replicas.initial is 1, less than min (2); use at least 2"),
    (stages("a: {SERVED, replicas: {initial: 3, max: 2}}"), "f:7: stages.a.replicas.max is 2, less than initial (3); use at least 3"),
    (stages("a: {SERVED, replicas: {min: 3, max: 2}}"), "f:7: stages.a.replicas.max is 2, less than min (3); use at least 3"),
    (stages("a: {SERVED, endpoint: somewhere}"), "f:7: stages.a.endpoint is 'somewhere'; write host:port"),
    (stages("a: {SERVED, endpoint: 'h:1', cores: 2}"), "f:7: stages.a.cores does not go with endpoint; remove it"),
    (stages("a: {endpoint: 'h:1', fan_out: true}"), "f:7: stages.a.fan_out does not go with endpoint; remove it"),
    (stages("a: {SERVED, model: {input: x}}"), "f:7: stages.a.model is for a foreign endpoint; remove it, or add endpoint: host:port"),
    (stages("a: {endpoint: 'h:1', model: {datatype: float}}"),
     "f:7: stages.a.model.datatype is 'float'; use BYTES, BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32 or FP64"),
    (stages("a: {endpoint: 'h:1', model: {datatype: FP32, shape: [3, 0]}}"),
     "f:7: stages.a.model.shape is no shape of a row; write a list of whole numbers, as in [3, 224, 224], without the batch"),
    (stages("a: {endpoint: 'h:1', model: {shape: [3]}}"),
     "f:7: stages.a.model.shape does not go with BYTES, of which a row is one; write [1] where the model wants that, or name the datatype"),
    (stages("a: {SERVED, output: {format: json, fields: {x: WHOLE}}}"),
     "f:7: stages.a.output.fields.x is 'WHOLE'; use BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE or STRING"),
    (stages("a: {SERVED, output: {format: json, fields: {x-y: INT}}}"),
     "f:7: stages.a.output.fields.x-y is no name of a field; use letters, digits and _"),
    (stages("a: {SERVED, output: {fields: {x: INT}}}"), "f:7: stages.a.output.fields asks for JSON; add format: json to output"),
    (HEAD + "budget: {cores: 3, replicas: 1}\nstages:\n  a: {" + SERVED + ", cores: 2, replicas: {initial: 2}}\n",
     "f:6: budget.replicas is 1, but the stages start with 2; use at least 2 or fewer initial replicas\n"
     "f:6: budget.cores is 3, but the stages start with 4; use at least 4 or fewer initial replicas"),
]

WRONG_GRAPHS = [
    (stages("a: {SERVED}", "bee: {SERVED, after: aa}"), "f:8: stages.bee.after names 'aa', which is no stage; did you mean a?"),
    (stages("a: {SERVED}", "b: {SERVED, after: [a, zzz]}"), "f:8: stages.b.after names 'zzz', which is no stage; use source or a"),
    (stages("a: {SERVED, after: []}"), "f:7: stages.a.after is a list; name a stage or a list of stages"),
    (stages("a: {SERVED}", "b: {SERVED, after: [a, a]}"), "f:8: stages.b.after names a stage twice; name each once"),
    (stages("a: {SERVED, after: a}"), "f:7: stages.a.after names the stage itself; use source"),
    (stages("a: {SERVED, after: b}", "b: {SERVED, after: source}"), "f:7: stages.a.after names b, which is written later; write b before a"),
    (stages("a: {SERVED, after: b}", "b: {SERVED, after: a}"), "f:7: stages.a.after names b, which comes after a; break the circle"),
    (stages("a: {SERVED, input: b}", "b: {SERVED}"), "f:7: stages.a.input names b, which is written later; write b before a"),
    (stages("a: {SERVED}", "b: {SERVED, join: source}"), "f:8: stages.b.join names 'source', which is no stage; use a"),
    (stages("a: {SERVED}", "b: {SERVED, join: a}"), "f:8: stages.b.join names a, which does not fan out; give a fan_out: true"),
    (stages("a: {SERVED, fan_out: true}", "b: {SERVED, join: a}", "c: {SERVED, join: a}"),
     "f:9: stages.c.join names a, whose children b joins already; come after b, without join"),
    (stages("a: {SERVED, fan_out: true}", "b: {SERVED, fan_out: true}", "c: {join: a}"),
     "f:9: stages.c.join names a, but b fanned out after it; join b first"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1, fan_out: true}", "c: {SERVED, after: a}", "d: {join: b}"),
     "f:10: stages.d.join names b, but its children do not come here; come after b"),
    (stages("a: {SERVED, FIELDS, fan_out: true}", "b: {SERVED, when: x < 1}", "c: {SERVED, after: a, join: a}"),
     "f:9: stages.c.join joins the children of a, but some go to the sink from b; let c come after b too"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1, fan_out: true}", "c: {SERVED}"),
     "f:9: stages.c gets children of a fan-out and events that are none; join the children first"),
    (stages("a: {SERVED, fan_out: true}", "b: {join: a, cores: 2, when: x < 1}"),
     "f:8: stages.b.when does not go with join, without an operator; remove it\n"
     "f:8: stages.b.cores does not go with join, without an operator; remove it"),
    (stages("a: {SERVED, fan_out: true}", "b: {SERVED, join: a, input: source}"), "f:8: stages.b.input does not go with join; remove it"),
    (stages("a: {SERVED}", "b: {SERVED, after: source}"),
     "f:8: stages.b comes after source, but a takes every event that leaves source; give one of them a when, or come after a"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1}", "c: {SERVED, input: b}"),
     "f:9: stages.c.input names b, which an event here may not have passed; use source or a"),
    (stages("a: {SERVED, fan_out: true}", "b: {SERVED}", "c: {join: a}", "d: {SERVED, input: a}"),
     "f:10: stages.d.input names a, whose children are joined or elsewhere; use source or c"),
    (stages("a: {SERVED, when: x < 1}"),
     "f:7: stages.a.when asks for fields, but events of the source have none; remove it, or come after a stage with output.fields"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: ''}"),
     "f:8: stages.b.when is ''; write a condition, as in \"confidence < 0.8\""),
    (stages("a: {SERVED}", "b: {SERVED, when: x < 1}"),
     "f:8: stages.b.when asks for fields, but a declares none; add stages.a.output.fields"),
    (stages("a: {SERVED, output: {format: json, fields: {confidence: DOUBLE}}}", "b: {SERVED, when: confidnce < 1}"),
     "f:8: stages.b.when: confidnce is no field of the stage before (declared: confidence); did you mean confidence?"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1, output: {format: json, fields: {y: INT}}}", "c: {SERVED, when: x > 5}"),
     "f:9: stages.c.when asks for 'x', which an event from b does not have; add it to stages.b.output.fields"),
    (stages("a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1, output: {format: json, fields: {x: STRING}}}", "c: {SERVED, when: x > 5}"),
     "f:9: stages.c.when asks for 'x', which is INT in a and STRING in b; declare it with one type"),
]

NOT_YAML = [
    ("pipeline: [\n", "f:2: this is not YAML (expected the node content, but found '<stream end>'); mend the syntax"),
    ("pipeline: p\n\tslo: 3\n", "f:2: this is not YAML (found character '\\t' that cannot start any token); mend the syntax"),
    ("pipeline: p\nslo: \x07\n", "f:2: this is not YAML (a character that YAML forbids); remove it"),
    ("pipeline: *p\n", "f:1: this is not YAML (found undefined alias 'p'); mend the syntax"),
    ("---\na: 1\n---\nb: 2\n", "f:3: this is not YAML (but found another document); mend the syntax"),
    ("", "f:1: the file holds no keys; start with pipeline: NAME"),
    ("- a\n", "f:1: the file holds no keys; start with pipeline: NAME"),
    ("a: " + "[" * 100_000, "f:1: values are nested more than 24 deep; flatten them"),
    ("a: &a [*a]\n" + HEAD + ONE, "f:1: a is not a key of the pipeline file; use pipeline, slo, slo_share, objective, budget, order, "
     "delivery, source, sink, dead_letters, join, stages or autoscaler\nf:1: a[0] holds an alias to itself; write the value out"),
    (HEAD + "budget: {<<: {cores: 1}}\n" + ONE, "f:6: the merge key << in budget is not supported; write the keys out"),
]


@pytest.mark.parametrize(("text", "error"), [*WRONG_VALUES, *WRONG_STAGES, *WRONG_GRAPHS, *NOT_YAML])
def test_a_wrong_file_says_where_what_and_how_to_mend_it(text, error):
    with pytest.raises(PipelineErrors) as caught:
        parse_pipeline(text, "f")
    assert sorted(str(caught.value).split("\n")) == sorted(error.split("\n"))


def test_all_faults_are_reported_in_the_order_of_their_lines():
    text = stages("a: {SERVED, cores: 0}", "b: {SERVED, after: c}").replace("100 ms", "1 h")
    with pytest.raises(PipelineErrors) as caught:
        parse_pipeline(text, "f")
    assert [error.line for error in caught.value.errors] == [2, 7, 8]
    assert isinstance(caught.value, PipelineError)


def test_aliases_cannot_unfold_without_bound():
    laughs = "x0: &x0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
        f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9)}]\n" for level in range(1, 20)
    )
    with pytest.raises(PipelineErrors, match="aliases unfold to more than 20000 values; write them out"):
        parse_pipeline(laughs, "f")


def test_an_alias_stands_for_its_value():
    pipeline = parse_pipeline(stages("a: {operator: 'm:C', variants: &v {v: {accuracy: 0.9, size: [1, 2]}}}",
                                     "b: {operator: 'm:D', variants: *v}"), "f")
    assert pipeline.stage("b").variants == pipeline.stage("a").variants


@pytest.mark.parametrize(("content", "error"), [
    (None, "the file cannot be read (No such file or directory); name a pipeline file"),
    (b"pipeline: p\nslo: \xff\n", "the file is not UTF-8; save it as UTF-8"),
    (b"#" * (1 << 20) + b"#", "the file is larger than 1 MiB; name a pipeline file"),
])
def test_a_file_that_is_no_text_is_refused(tmp_path, content, error):
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineErrors) as caught:
        read_pipeline(path)
    assert str(caught.value).endswith(error)


def test_what_the_file_leaves_out_has_defaults():
    pipeline = parse_pipeline(stages("a: {operator: 'm:C', variants: {low: {accuracy: 0.5}, high: {accuracy: 0.9}}}", "b: {SERVED}"), "f")
    first, second = pipeline.stages
    assert (first.after, second.after) == ((SOURCE,), ("a",))
    assert first.variant == "high"
    assert (first.batch_max, first.replicas, first.cores, first.on_late) == (64, Replicas(1, 1, 4), 1, OnLate.ANSWER)
    assert (pipeline.slo_share, pipeline.delivery, pipeline.source.partitions) == (0.99, Delivery.AT_LEAST_ONCE, 2)
    assert pipeline.budget.cores is None


def test_replicas_left_out_follow_those_given():
    pipeline = parse_pipeline(stages("a: {SERVED, replicas: {min: 6}}"), "f")
    assert pipeline.stages[0].replicas == Replicas(initial=6, min=6, max=6)


def test_a_join_without_an_operator_gives_the_array():
    pipeline = parse_pipeline(stages("a: {SERVED, fan_out: true}", "b: {SERVED}", "c: {join: a}"), "f")
    joined = pipeline.stage("c")
    assert (joined.operator, joined.variants, joined.variant, joined.output.format) == (None, (), None, Format.JSON)


def test_the_branch_without_a_condition_may_be_written_first():
    pipeline = parse_pipeline(stages("a: {SERVED, FIELDS}", "b: {SERVED}", "c: {SERVED, after: a, when: x < 1}"), "f")
    assert {stage.name: stage.after for stage in pipeline.stages} == {"a": ("source",), "b": ("a",), "c": ("a",)}


def test_further_keys_of_a_variant_are_the_operators_options():
    pipeline = parse_pipeline(stages("a: {operator: 'm:C', variants: {v: {accuracy: 1, network: cnn, size: {w: 2.5}, on: null}}}")
                              .replace("on:", "'on':"), "f")
    assert pipeline.stages[0].variants[0].options == {"network": "cnn", "size": {"w": 2.5}, "on": None}


@pytest.mark.parametrize("path", sorted(set(PIPELINES.glob("*.yaml")) - set(PIPELINES.glob("*.profile.yaml"))), ids=lambda path: path.name)
def test_the_pipelines_of_the_repository_are_right(path):
    assert read_pipeline(path).name == path.stem


def test_a_foreign_stage_needs_neither_operator_nor_variants():
    text = stages("a: {endpoint: 'h:1'}", "b: {endpoint: 'h:2', model: {name: net, version: '3', input: x, datatype: FP32, shape: [2, 4], timeout: 2 s}}")
    a, b = parse_pipeline(text, "f").stages
    assert (a.operator, a.variants, a.variant, a.model) == (None, (), None, ForeignModel())
    assert b.model == ForeignModel("net", "3", "x", "FP32", (2, 4), 2000.0)
    (c,) = parse_pipeline(stages("c: {endpoint: 'h:1', model: {shape: [1]}}"), "f").stages
    assert c.model == ForeignModel(shape=(1,))
    assert not a.is_plain_join
    assert not a.is_ours


def test_the_autoscaler_s_section():
    text = "autoscaler: {policy: themis, enabled: false, stale_after: 8 s, fallback: last-safe, cool_down: 30 s, excluded: ['22:00-06:00', '12:00-12:30']}\n"
    said = parse_pipeline(HEAD + ONE + text, "f").autoscaler
    assert said == Scaling("themis", False, 8000.0, Fallback.LAST_SAFE, 30_000.0, (Period(1320, 360), Period(720, 750)))
    hours = [hour for hour in range(24) if said.is_excluded(hour * 3600 + 60)]
    assert hours == [0, 1, 2, 3, 4, 5, 12, 22, 23]
    assert parse_pipeline(HEAD + ONE, "f").autoscaler == Scaling()
