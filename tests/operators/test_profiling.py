"""Rows sent through a graph by hand, and real replica processes measured."""

import asyncio
from dataclasses import replace
from time import process_time

import pytest
import typer
from typer.testing import CliRunner

from autoscaler.graph.reader import parse_pipeline
from autoscaler.planner.profile import Width, read_profile
from operators.operator import Operator
from operators.profile_cli import profile as command
from operators.profiling import Effort, ProfilingError, batches, measure
from operators.sampling import rows_of_stages

HEAD = """
pipeline: p
slo: 1 s
source: {topic: i}
sink: {topic: o}
dead_letters: {topic: d}
stages:
"""
GRAPH = HEAD + """
  split: {operator: "operators.echo:Splitter", fan_out: true, variants: {only: {accuracy: 1}}}
  score: {operator: "m:S", variants: {only: {accuracy: 1}}, output: {format: json, fields: {c: DOUBLE, name: STRING}}}
  again: {operator: "m:A", when: "c < 0.5 AND name LIKE 'a%'", input: split, variants: {only: {accuracy: 1}}, output: {format: json}}
  read: {operator: "m:R", join: split, variants: {only: {accuracy: 1}}}
"""
QUICK = Effort(seconds=0.01, least=3, rounds=1, starts=1, cores=(1,))



class Spinner(Operator):
    """5 ms of CPU time a batch."""

    def infer(self, rows):
        until = process_time() + 0.005
        while process_time() < until:
            pass
        return rows


def walk(text, source, answer):
    async def ask(stage, rows):
        return [answer(stage.name, row) for row in rows]

    return asyncio.run(rows_of_stages(parse_pipeline(text, "f"), source, ask))


def scored(stage, row):
    match stage:
        case "split":
            return row.split(b",") if row else []
        case "score":
            return b'{"c": 0%s, "name": "%s"}' % (row[1:], row[:1])
        case "again":
            return b'"%s again"' % row
    return b"read"


def test_each_stage_gets_the_rows_that_a_job_would_give_it():
    rows, taken = walk(GRAPH, [b"a.1,b.2", b"", b"a.9"], scored)
    assert rows["split"] == [b"a.1,b.2", b"", b"a.9"]
    assert rows["score"] == [b"a.1", b"b.2", b"a.9"]
    assert rows["again"] == [b"a.1"]  # its input is the split's row
    assert rows["read"][1] == b"[]"  # a parent without children
    assert taken == {"again": pytest.approx(1 / 3)}


def test_a_join_is_the_array_of_the_childrens_values():
    rows, _ = walk(GRAPH, [b"b.2,b.3", b"a.1"], scored)
    assert rows["read"] == [b'[{"c": 0.2, "name": "b"},{"c": 0.3, "name": "b"}]', b'["a.1 again"]']


def test_a_refused_row_goes_nowhere():
    rows, _ = walk(GRAPH, [b"a.1,b.2"], lambda stage, row: None if row == b"b.2" else scored(stage, row))
    assert rows["read"] == [b'["a.1 again"]']


def test_a_condition_that_cannot_be_asked_is_met_and_passed_by():
    text = GRAPH.replace("c < 0.5 AND name LIKE 'a%'", "TRY_CAST(name AS DOUBLE) < 1")
    rows, taken = walk(text, [b"a.1,b.2"], scored)
    assert len(rows["again"]) == 2
    assert taken == {}


def test_batches_are_powers_of_two_and_the_largest():
    assert batches(1) == [1]
    assert batches(8) == [1, 2, 4, 8]
    assert batches(20) == [1, 2, 4, 8, 16, 20]


def profile(stages, source, effort=QUICK):
    return asyncio.run(measure(parse_pipeline(HEAD + stages, "f"), source, None, effort, lambda line: None))


def test_a_sleeping_operator_takes_as_long_as_it_sleeps():
    found = profile('  nap: {operator: "operators.echo:Sleeper", variants: {quick: {accuracy: 0.5, sleep_ms: 4}, slow: '
                    '{accuracy: 1, sleep_ms: 20, row_ms: 5}}, batch: {max: 2}}', [b"x", b"y"])
    quick, slow = found.stage("nap").variants
    assert [(point.batch, point.cores) for point in quick.points] == [(1, 1), (2, 1)]
    assert all(4 <= point.p50_ms <= point.p99_ms for point in quick.points)
    assert slow.points[0].mean_ms >= 25
    assert slow.points[1].mean_ms >= 30
    assert slow.points[1].rows_s <= 2 / 0.030
    assert quick.cold_start_s > quick.load_s >= 0
    assert quick.points[0].memory_mb > 5
    assert found.stage("nap").taken is None


def test_a_replica_is_measured_in_its_part_of_a_core():
    spin = '  spin: {operator: "tests.operators.test_profiling:Spinner", variants: {only: {accuracy: 1}}, batch: {max: 1}}'
    found = profile(spin, [b"x"], replace(QUICK, cores=(0.25, 1), least=12))
    part, whole = found.stage("spin").variants[0].points
    assert (part.cores, whole.cores) == (0.25, 1)
    assert part.mean_ms > 15  # 5 ms of CPU in a quarter of a core, whatever else the machine does
    assert found.parts in ("quota", "slot")
    assert not profile(spin, [b"x"]).parts


def test_a_fan_out_says_how_wide_it_is():
    found = profile('  split: {operator: "operators.echo:Splitter", fan_out: true, variants: {only: {accuracy: 1}}, batch: {max: 1}}',
                    [b"a,b,c", b"", b"d"])
    assert found.stage("split").variants[0].fan_out == Width(pytest.approx(4 / 3), 3)


def test_an_operator_that_cannot_be_loaded_is_named():
    with pytest.raises(ProfilingError, match=r"stage bad, variant only: .*cannot be loaded"):
        profile('  bad: {operator: "operators.echo:Broken", variants: {only: {accuracy: 1}}}', [b"x"])


def test_a_stage_without_rows_is_named():
    stages = ('  split: {operator: "operators.echo:Splitter", fan_out: true, variants: {only: {accuracy: 1}}}\n'
              '  next: {operator: "operators.echo:Echo", variants: {only: {accuracy: 1}}}')
    with pytest.raises(ProfilingError, match="stage next got no rows from 1 events"):
        profile(stages, [b""])


def test_the_command_writes_a_profile_that_reads_back(tmp_path):
    pipeline, rows = tmp_path / "p.yaml", tmp_path / "rows"
    pipeline.write_text(HEAD + '  echo: {operator: "operators.echo:Echo", variants: {only: {accuracy: 1}}, batch: {max: 2}}')
    rows.write_text("a\nb\n")
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(pipeline), "--inputs", str(rows), "--quick"])
    assert done.exit_code == 0, done.output
    found = read_profile(tmp_path / "p.profile.yaml")
    assert found.pipeline == "p"
    assert found.machine
    assert {point.batch for point in found.stage("echo").variants[0].points} == {1, 2}
    for asked, says in (("0.1", "--cores has '0.1'; use multiples of 0.125"), ("4096", "--cores has 4096; this machine has")):
        wrong = CliRunner().invoke(app, [str(pipeline), "--inputs", str(rows), "--cores", asked])
        assert wrong.exit_code == 2
        assert says in wrong.output
    parts = CliRunner().invoke(app, [str(pipeline), "--inputs", str(rows), "--quick", "--cores", "1.0,0.125"])
    assert parts.exit_code == 0, parts.output
    found = read_profile(tmp_path / "p.profile.yaml")
    assert [point.cores for point in found.stage("echo").variants[0].points] == [0.125, 0.125, 1, 1]
    assert found.parts
    wrong = CliRunner().invoke(app, [str(pipeline), "--inputs", "nowhere"])
    assert wrong.exit_code == 2
    assert "there are no inputs 'nowhere'" in wrong.output
