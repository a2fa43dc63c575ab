"""Looking back, and what people tell a sidecar."""

import json

import pytest
from typer.testing import CliRunner

from autoscaler.commands import command, mode_of
from autoscaler.control.records import lines
from autoscaler.control.restraint import Mode
from jobs.cli import app
from tests.autoscaler.world import PIPELINE, PROFILE, world


@pytest.fixture
def history(tmp_path):
    """A pipeline file, its profile beside it, and the records of a burst."""
    (tmp_path / "digits.yaml").write_text(PIPELINE)
    (tmp_path / "digits.profile.yaml").write_text(PROFILE)
    at = world()
    at.run(6, 100)
    at.run(6, 320)
    (tmp_path / "history").write_text("".join(json.dumps(one) + "\n" for one in at.records))
    return tmp_path, at


def replay(place, *arguments):
    return CliRunner().invoke(app, ["replay", str(place / "history"), "--pipeline", str(place / "digits.yaml"), *arguments])


def test_history_again_by_its_own_policy_and_by_another(history):
    place, at = history
    same = replay(place)
    made = len(at.decided)
    assert (same.exit_code, same.output) == (0, f"{made} decisions of sluice again by sluice: {made} the same, 0 not\n")
    other = replay(place, "--policy", "rim", "--json")
    found = [json.loads(line) for line in other.output.splitlines()]
    assert {one["policy"] for one in found} == {"rim"}
    assert any(not one["same"] for one in found)
    told = replay(place, "--policy", "rim").output
    assert "again by rim" in told
    assert "then: " in told
    assert "->" in told


@pytest.mark.parametrize(("text", "policy", "says"), [
    ("{", "sluice", "history:1: no JSON"), ("", "sluice", "holds no decision"), ('{"version": 9}\n', "sluice", "version 9"),
    (None, "reactive", "does not decide by these records"), (None, "best", "no policy is called 'best'")])
def test_what_cannot_be_replayed_is_said(history, text, policy, says):
    place, _ = history
    if text is not None:
        (place / "history").write_text(text)
    done = replay(place, "--policy", policy)
    assert (done.exit_code, says in done.output) == (2, True)


def test_a_record_in_words(history):
    _, at = history
    grown = next(one for one in at.decided if one["stages"]["classify"]["actions"])
    told = "\n".join(lines(grown))
    assert told.startswith(f"decision {grown['sequence']} of sluice (act): ")
    for part in ("classify runs 1 of 1 x cnn (1 cpu, batch 8)", "plan: ", '{"cores": 2, "replicas": 2}, confirmed', "forecast for 10 s by a safe maximum"):
        assert part in told
    held = "\n".join(lines(at.records[0]))
    assert held == "decision 1 of sluice (act): hold: the source's rate is known for less than 3 s"


def test_a_command_is_for_its_pipeline_only():
    key, value = command("digits", Mode.PAUSED)
    assert key == b"digits"
    assert mode_of(value, "digits") is Mode.PAUSED
    assert mode_of(value, "scenes") is None
    for wrong in (None, b"", b"{", b"[]", b'{"version": 2, "pipeline": "digits", "mode": "act"}', b'{"version": 1, "pipeline": "digits", "mode": "x"}'):
        assert mode_of(wrong, "digits") is None
