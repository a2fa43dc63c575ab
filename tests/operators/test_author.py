"""Functions and classes of authors as operators: alone, in a replica process, and as the commands write and try them."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from autoscaler.graph.reader import read_pipeline
from jobs.cli import app
from operators.author import AuthorError, Batch, as_operator
from operators.codec import Array, BadInput
from operators.operator import Operator, RowError, Variant
from operators.replica import LoadError, find_class, infer
from operators.template import FILES, write
from operators.trial import check
from tests.operators.service import Service, Stream, request

Pixels = Annotated[NDArray[np.uint8], Array("u1", (4,))]


@dataclass
class Reading:
    sensor: str
    celsius: float


@dataclass
class Level:
    sensor: str
    level: str


def level(reading: Reading, *, limit: float = 90.0) -> Level:
    if reading.celsius < -273.15:
        raise BadInput("colder than there is")
    return Level(reading.sensor, "high" if reading.celsius > limit else "normal")


def shout(text: str) -> str:
    return text.upper()


def words(text: str) -> Iterator[str]:
    yield from text.split()


def means(images: Batch[Pixels]) -> Batch[float]:
    return images.mean(axis=1).tolist()


def squares(values: Batch[int]) -> Batch[int]:
    if 13 in values:
        raise ValueError("not 13")
    return [value * value for value in values]


class Threshold:
    """Counts how often it was made."""

    made = 0

    def __init__(self, variant: Variant, cores: int, limit: float = 90.0) -> None:
        Threshold.made += 1
        self.variant, self.cores, self.limit = variant, cores, limit

    def __call__(self, reading: Reading) -> Level:
        return level(reading, limit=self.limit)

    def resize(self, cores: int) -> None:
        self.cores = cores


def made(authored, **options) -> Operator:
    return as_operator(authored)(Variant("v", 1.0, options), 1)


def test_a_function_is_still_a_function():
    assert level(Reading("a", 95.0)) == Level("a", "high")


def test_rows_are_read_and_answers_written():
    rows = [b'{"sensor": "a", "celsius": 95}', b'{"sensor": "a", "celsius": 20}']
    assert infer(made(level), rows) == [b'{"sensor":"a","level":"high"}', b'{"sensor":"a","level":"normal"}']
    assert infer(made(level, limit=10.0), rows) == [b'{"sensor":"a","level":"high"}'] * 2
    assert infer(made(shout), ["ü".encode()]) == ["Ü".encode()]


def test_rows_fail_alone():
    rows = [b'{"sensor": "a", "celsius": 95}', b"{", b'{"sensor": "a", "celsius": -300}', b'{"celsius": 1}']
    good, *bad = infer(made(level), rows)
    assert good == b'{"sensor":"a","level":"high"}'
    assert [error.reason for error in bad] == ["bad-input"] * 3
    assert bad[1].detail == "colder than there is"

    def divided(value: int) -> float:
        return 1 / value

    assert infer(made(divided), [b"0", b"2"]) == [RowError("operator-error", "ZeroDivisionError: division by zero"), b"0.5"]


def test_an_answer_of_another_type_is_an_error():
    def wrong(text: str) -> str:
        return 3

    assert infer(made(wrong), [b"a"]) == [RowError("operator-error", "TypeError: the answer is a int; the annotation says str")]


def test_generators_fan_out():
    operator = made(words)
    assert operator.fans_out
    assert infer(operator, [b"a b", b"", b"c"]) == [[b"a", b"b"], [], [b"c"]]


def test_batches_are_passed_whole():
    assert infer(made(means), [bytes([1, 2, 3, 4]), b"short", bytes(4)]) == [
        b"2.5", RowError("bad-input", "the row has 5 bytes; u1 of shape [4] takes 4"), b"0.0",
    ]
    answers = infer(made(squares), [b"2", b"13", b"x", b"3"])
    assert answers[0] == b"4"
    assert answers[1] == RowError("operator-error", "ValueError: not 13")
    assert answers[2].reason == "bad-input"
    assert answers[3] == b"9"


def test_raw_tensors_go_in_and_out_as_one_array():
    def halves(pixels: Batch[Annotated[NDArray[np.uint8], Array("u1", (2,))]]) -> Batch[Annotated[NDArray[np.float32], Array("<f4", (2,))]]:
        assert pixels.shape[1:] == (2,)
        return pixels / 2 if pixels[0, 0] != 13 else pixels[:, :1]

    rows, answers = [bytes([2, 5]), bytes([7, 0])], [np.array(pair, "<f4").tobytes() for pair in ([1, 2.5], [3.5, 0])]
    assert infer(made(halves), rows) == answers
    assert infer(made(halves), [rows[0], b"x", rows[1]])[::2] == answers
    assert {answer.reason for answer in infer(made(halves), [bytes([13, 0])])} == {"operator-error"}


def test_a_batch_with_too_few_answers_is_an_error():
    def few(values: Batch[int]) -> Batch[int]:
        return values[1:]

    assert {answer.reason for answer in infer(made(few), [b"1", b"2"])} == {"operator-error"}


def test_a_class_is_made_once_with_its_options():
    before = Threshold.made
    operator = made(Threshold, limit=10.0)
    assert infer(operator, [b'{"sensor": "a", "celsius": 20}'] * 3) == [b'{"sensor":"a","level":"high"}'] * 3
    assert Threshold.made == before + 1
    operator.resize(4)
    assert operator.cores == 4


@pytest.mark.parametrize(
    ("authored", "options", "said"),
    [
        (level, {"limmit": 3}, "level has no option 'limmit'; it has limit"),
        (shout, {"mark": "!"}, "it has none"),
        (Threshold, {"cores": 3}, "no option 'cores'; it has limit"),
    ],
)
def test_options_that_are_not_there(authored, options, said):
    with pytest.raises(AuthorError, match=said):
        made(authored, **options)


def test_an_option_without_default_is_needed():
    def scaled(value: float, *, by: float) -> float:
        return value * by

    with pytest.raises(AuthorError, match="needs the option 'by'"):
        made(scaled)
    assert infer(made(scaled, by=2.0), [b"3"]) == [b"6.0"]


def untyped(row):
    return row


def two(a: str, b: str) -> str:
    return a + b


def half(rows: Batch[str]) -> str:
    return rows[0]


def odd(row: complex) -> str:
    return str(row)


@pytest.mark.parametrize(("authored", "said"), [(untyped, "says its types"), (two, "with state says its types"), (half, "both"), (odd, "no way to read a row")])
def test_what_cannot_be_an_operator(authored, said):
    with pytest.raises(AuthorError, match=said):
        as_operator(authored)
    with pytest.raises(LoadError, match=f"test_author:{authored.__name__}.*{said}"):
        find_class(f"tests.operators.test_author:{authored.__name__}")


def test_check_gives_the_answers():
    assert check(level, [Reading("a", 95.0), b"{"], limit=100.0)[0] == Level("a", "normal")
    assert check(words, ["a b"]) == [["a", "b"]]
    assert check(as_operator(shout), [b"a"]) == [b"A"]


def test_check_finds_an_operator_that_mixes_rows():
    def ranked(values: Batch[int]) -> Batch[int]:
        return [sorted(values).index(value) for value in values]

    with pytest.raises(AssertionError, match="alone"):
        check(ranked, [3, 1, 2])


def test_check_finds_an_operator_that_remembers():
    seen = []

    def count(text: str) -> int:
        seen.append(text)
        return len(seen)

    with pytest.raises(AssertionError):
        check(count, ["a", "b"])


def test_a_function_runs_as_a_stage(tmp_path):
    service = Service(tmp_path, "tests.operators.test_author:shout_variant")
    stream = Stream(service.stub)
    stream.send(request("a", [b"one", b"\xff", b"two"]))
    answers = stream.finish()["a"]
    service.close()
    assert answers[0] == (0, b"ONE!")
    assert answers[1] == (2, "bad-input: not UTF-8: invalid start byte at byte 0")
    assert answers[2] == (0, b"TWO!")


def shout_variant(text: str, *, suffix: str = "!", sleep_ms: float = 0) -> str:
    return text.upper() + suffix


def test_a_module_beside_the_pipeline_file_is_found(tmp_path):
    (tmp_path / "beside_it.py").write_text("def louder(text: str, *, suffix: str = '', sleep_ms: float = 0) -> str:\n    return text.upper()\n")
    service = Service(tmp_path, "beside_it:louder")
    stream = Stream(service.stub)
    stream.send(request("a", [b"one"]))
    assert stream.finish()["a"] == {0: (0, b"ONE")}
    service.close()


# the commands


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder with the operator `alarm`, which can be imported."""
    write("alarm", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("alarm", "test_alarm"):
        sys.modules.pop(name, None)


def test_what_new_writes_works(written):
    import test_alarm

    test_alarm.test_alarm()
    stage = read_pipeline(written / "alarm.yaml").stage("alarm")
    (variant,) = stage.variants
    operator = find_class(stage.operator)(Variant(variant.name, variant.accuracy, variant.options), 1)
    answers = infer(operator, (written / "alarm.rows").read_bytes().splitlines())
    assert answers == [b'{"sensor":"a","level":"high"}', b'{"sensor":"b","level":"normal"}']


def test_an_operator_and_its_test_take_less_than_twenty_lines():
    code = FILES["NAME.py"] + FILES["test_NAME.py"]
    assert len([line for line in code.splitlines() if line.strip()]) < 20


def test_new_writes_nothing_over(written):
    (written / "alarm.py").write_text("mine")
    said = CliRunner().invoke(app, ["operator", "new", "alarm", "--into", str(written)])
    assert (said.exit_code, "is there already" in said.output) == (2, True)
    assert (written / "alarm.py").read_text() == "mine"
    said = CliRunner().invoke(app, ["operator", "new", "siren", "--into", str(written / "deep")])
    assert said.exit_code == 0
    assert sorted(path.name for path in (written / "deep").iterdir()) == ["siren.py", "siren.rows", "siren.yaml", "test_siren.py"]


@pytest.mark.parametrize("name", ["", "Alarm", "a-b", "../a", "class", "source", "a/b", "1a"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(ValueError, match="no name"):
        write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_try_prints_an_answer_per_row(written):
    said = CliRunner().invoke(app, ["operator", "try", "alarm:alarm", "--rows", "alarm.rows", "--option", "limit=10", '{"sensor": 3}'])
    assert said.exit_code == 1
    lines = said.output.splitlines()
    assert lines[0] == "0: FAILED bad-input: the row has no field 'celsius'"
    assert lines[1:3] == ['1: {"sensor":"a","level":"high"}', '2: {"sensor":"b","level":"high"}']
    assert re.fullmatch(r"loaded in \d+ ms, 3 rows in [\d.]+ ms, 1 failed", lines[3])
    assert CliRunner().invoke(app, ["operator", "try", "alarm:alarm", '{"sensor": "a", "celsius": 1}']).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing:here"], "no module named 'nothing'"),
        (["alarm:siren"], "no operator class 'siren'"),
        (["alarm:alarm", "--option", "limit"], "use KEY=VALUE"),
        (["alarm:alarm", "--option", "limits=3"], "no option 'limits'"),
        (["operators.echo:Broken"], "this operator never loads"),
    ],
)
def test_try_says_what_is_wrong(written, arguments, said):
    found = CliRunner().invoke(app, ["operator", "try", *arguments])
    assert (found.exit_code, said in found.output) == (2, True), found.output


def test_try_runs_operator_classes_and_fan_outs():
    said = CliRunner().invoke(app, ["operator", "try", "operators.echo:Splitter", "a,b", ""])
    assert said.output.splitlines()[:3] == ["0.0: a", "0.1: b", "1: (none)"]
