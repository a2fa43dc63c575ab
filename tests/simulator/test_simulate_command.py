"""`sluice simulate`: what it prints and writes, and what it says to wrong input."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from simulator.arrivals import Even
from simulator.report import html
from simulator.traces import parse_load
from simulator.what_if import Question, answer

DIGITS = Path(__file__).resolve().parents[2] / "pipelines" / "digits.yaml"
"""With its profile beside it."""


def sluice(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "load.csv"
    path.write_text("second,count\n" + "".join(f"{second},{60 + 40 * (second % 5)}\n" for second in range(12)))
    return path


def test_it_compares_policies_and_writes_a_report_that_stands_alone(load, tmp_path):
    report, plot = tmp_path / "report.html", tmp_path / "plot.png"
    said = sluice("simulate", DIGITS, "--trace", load, "--policy", "static,hpa", "--seeds", 2, "--json", "--html", report, "--plot", plot)
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert list(found["policies"]) == ["static", "hpa"]
    assert [run["seed"] for run in found["policies"]["static"]["runs"]] == [1, 2]
    for policy in found["policies"].values():
        assert 0 <= policy["violation_share"] <= 1
        assert policy["core_hours"] > 0
        assert all(run["events"] > 0 for run in policy["runs"])
    page = report.read_text()
    for part in ("static", "hpa", "data:image/png;base64,"):
        assert part in page
    assert re.findall(r"https?://", page) == []  # nothing from elsewhere
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_same_question_has_the_same_answer():
    from autoscaler.graph.reader import read_pipeline
    from autoscaler.planner.profile import profile_path, read_profile

    question = Question(read_pipeline(DIGITS), read_profile(profile_path(DIGITS)), parse_load("50\n80\n90\n20\n", "t"), even=True)
    assert isinstance(question.load.trace(question.even), Even)
    first, second = (answer(question, "sluice", 3, True) for _ in range(2))
    assert first.statistics == second.statistics
    assert first.over_time.capacity.tolist() == second.over_time.capacity.tolist()
    assert first.over_time.load.tolist() == [50, 80, 90, 20]
    assert "<td>" in html("t", {}, ["a < b"], [first], None)
    assert "a &lt; b" in html("t", {}, ["a < b"], [first], None)


@pytest.mark.parametrize(("words", "said"), [
    (["--trace", "{tmp}/none.csv"], "none.csv: No such file or directory"),
    (["--trace", "{tmp}/bad.csv"], "bad.csv:2: the count is -4; use numbers from 0"),
    (["--trace", "{load}", "--policy", "nobody"], "no policy is called 'nobody'; use some of"),
    (["--trace", "{load}", "--policy", " , "], "--policy names none"),
    (["--trace", "{load}", "--scale", "0"], "--scale is 0; use a number above 0"),
    (["--trace", "{load}", "--speed-up", "nan"], "--speed-up is nan; use a number above 0"),
    (["--trace", "{load}", "--column", "rows"], "load.csv:1: there is no column 'rows': the columns are second, count"),
    (["--trace", "{load}", "--payload", "100"], "say with --bandwidth how fast the way is"),
    (["--trace", "{load}", "--profile", "{load}"], "load.csv:1:"),
])
def test_wrong_input_is_told_on_one_line(words, said, load, tmp_path):
    (tmp_path / "bad.csv").write_text("5\n-4\n")
    done = sluice("simulate", DIGITS, *(word.format(tmp=tmp_path, load=load) for word in words))
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_pipeline_without_a_profile_is_told_how_to_get_one(load, tmp_path):
    (tmp_path / "digits.yaml").write_text(DIGITS.read_text())
    done = sluice("simulate", tmp_path / "digits.yaml", "--trace", load)
    assert (done.exit_code, "measure this machine with `sluice profile" in done.stderr) == (2, True)
