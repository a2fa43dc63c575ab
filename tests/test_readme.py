"""What the README tells a new user to type is what the commands take, and its example of an operator works."""

import re
import shlex
import sys
from pathlib import Path

import click
import pytest
import yaml
from typer.main import get_command

from autoscaler.graph.reader import read_pipeline
from jobs.cli import app
from operators.operator import RowError, Variant

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", README.read_text(), re.MULTILINE)]
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("sluice ")]


def block_named(name: str) -> str:
    """The block that begins with this file's name as a comment."""
    return next(block.strip("\n") + "\n" for block in BLOCKS if block.lstrip("\n").startswith(f"# {name}\n"))


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.partition("#")[0].strip())
def test_every_command_line_is_one_that_the_command_takes(line: str):
    command, words = get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "list_commands"):
        name, *words = words
        command = command.get_command(click.Context(command), name)
    with command.make_context(name, words) as context:  # a UsageError when it does not take them
        assert context.params


def test_the_example_operator_answers_and_fails_single_rows(tmp_path: Path, monkeypatch):
    (tmp_path / "upper.py").write_text(block_named("upper.py"))
    (tmp_path / "upper.yaml").write_text(block_named("upper.yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    pipeline = read_pipeline(tmp_path / "upper.yaml")
    stage = pipeline.stage("upper")
    assert stage.operator == "upper:Upper"
    from upper import Upper

    loud = next(variant for variant in stage.variants if variant.name == "loud")
    answers = Upper(Variant("loud", loud.accuracy, loud.options), 1).infer([b"one", b"\xff", b""])
    assert answers == [b'{"text": "ONE!"}', RowError("bad-input", "not ASCII"), b'{"text": "!"}']
    del sys.modules["upper"]


def test_the_example_has_as_many_fields_as_it_answers():
    assert yaml.safe_load(block_named("upper.yaml"))["stages"]["upper"]["output"]["fields"] == {"text": "STRING"}


def test_every_file_that_the_readme_names_is_there():
    named = set(re.findall(r"(?:pipelines|jobs)/[\w/.-]+\.(?:yaml|py)", README.read_text()))
    assert named
    assert [name for name in named if not (README.parent / name).is_file()] == []
