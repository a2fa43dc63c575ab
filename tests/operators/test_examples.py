"""The operator in plain Python of examples/: the conformance suite takes it, and names what a wrong variant of it gets wrong."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoscaler.graph.reader import read_pipeline
from jobs.cli import app
from operators.conformance import MODEL, SERVER

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@contextmanager
def words(program=EXAMPLES / "python" / "words.py"):
    """Its address while it runs."""
    process = subprocess.Popen([sys.executable, str(program), "0"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"127.0.0.1:{process.stdout.readline().rsplit(' ', 1)[1].strip()}"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def conformance(address):
    return CliRunner().invoke(app, ["conformance", address, "--model", "words", "--row", "one two three", "--row", "", "--row", "zwölf"])


def test_the_operator_in_plain_python_conforms():
    with words() as address:
        said = conformance(address)
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[-1] == f"{len(SERVER) + 1 + len(MODEL)} ok, 0 wrong, 0 skipped"


@pytest.mark.parametrize(
    ("right", "wrong", "check"),
    [
        ("id=request.id", 'id=""', "request id"),
        ("StatusCode.INVALID_ARGUMENT", "StatusCode.UNAVAILABLE", "wrong shape"),
        ("for row in rows(request)]", "for row in reversed(rows(request))]", "row order"),
        ('options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ', "options=[", "large request"),
        ("        if at != len(raw):\n", "        if False:\n", "lying length"),
    ],
    ids=["id", "code", "order", "limit", "length"],
)
def test_a_wrong_variant_is_told_what_is_wrong(tmp_path, right, wrong, check):
    text = (EXAMPLES / "python" / "words.py").read_text()
    assert right in text
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "words.py").write_text(text.replace(right, wrong))
    shutil.copy(EXAMPLES / "inference.proto", tmp_path)
    with words(tmp_path / "python" / "words.py") as address:
        said = conformance(address)
    assert said.exit_code == 1
    found = [line.split(maxsplit=1)[1] for line in said.output.splitlines() if line.startswith("wrong ")]
    assert any(line.startswith(check) for line in found), said.output


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_pipeline_files_are_right(path):
    assert all(stage.endpoint for stage in read_pipeline(path).stages)
