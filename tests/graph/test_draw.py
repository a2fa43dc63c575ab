from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from autoscaler.graph.cli import check
from autoscaler.graph.draw import draw
from autoscaler.graph.reader import parse_pipeline, read_pipeline
from tests.graph.test_reader import HEAD

HERE = Path(__file__).parent
PIPELINES = HERE.parents[1] / "pipelines"


@pytest.mark.parametrize("name", ["digits", "scenes"])
def test_an_example_is_drawn_as_stored(name):
    assert draw(read_pipeline(PIPELINES / f"{name}.yaml")) + "\n" == (HERE / f"{name}.out").read_text()


def test_no_line_is_wider_than_80_columns():
    variants = ", ".join(f"variant-of-a-long-name-{index}: {{accuracy: 0.123456}}" for index in range(9))
    condition = " AND ".join(f"x <> {index}" for index in range(60))
    text = f"""{HEAD}
stages:
  a: {{operator: 'a.module:Operator', variants: {{{variants}}}, output: {{format: json, fields: {{x: INT}}}}, fan_out: true}}
  b: {{operator: 'a.module:Operator', variants: {{{variants}}}, when: "{condition}"}}
  c: {{join: a}}
"""
    assert max(len(line) for line in draw(parse_pipeline(text, "f")).split("\n")) <= 80


def run_check(path: Path):
    app = typer.Typer()
    app.command()(check)
    return CliRunner().invoke(app, [str(path)])


def test_check_prints_the_drawing():
    result = run_check(PIPELINES / "digits.yaml")
    assert (result.exit_code, result.stdout) == (0, (HERE / "digits.out").read_text())


def test_check_of_a_wrong_file_exits_with_2_and_says_why_on_stderr(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("pipeline: [\n")
    result = run_check(path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{path}:2: this is not YAML")
