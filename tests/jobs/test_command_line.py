"""The commands' help, the names that they share, and what they say to wrong arguments."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from jobs.cli import app

ROOT = Path(__file__).resolve().parents[2]


def commands(group, path=()):
    """Every command without commands of its own, by its words."""
    context = click.Context(group, info_name=" ".join(path))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands(get_command(app)))


def options(command):
    return [p for p in command.params if p.param_type_name == "option" and p.name != "help"]


def test_the_verbs_are_these():
    assert [" ".join(words) for words in ALL] == [
        "run", "check", "profile", "plan", "compare", "simulate", "train", "forecast train", "operator serve", "operator new", "operator try",
        "update", "rollback", "versions", "conformance", "autoscaler run", "autoscaler pause", "autoscaler advise", "autoscaler resume",
        "explain", "replay", "start", "stop", "produce", "consume", "dead-letters list",
        "dead-letters replay"]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_says_what_it_does_and_what_each_of_its_parameters_is_for(words):
    command = ALL[words]
    assert command.help.strip()
    assert [p.name for p in command.params if p.name not in ("help", "ctx") and not p.help] == []
    said = CliRunner().invoke(app, [*words, "--help"])
    assert said.exit_code == 0
    assert f"{' '.join(words)} [OPTIONS]" in said.output


def test_a_flag_has_one_environment_variable_wherever_it_is():
    found = {}
    for words, command in ALL.items():
        if words == ("run",):
            continue  # starts parts of its own, on ports of its own
        for option in options(command):
            found.setdefault(option.opts[0], set()).add(option.envvar)
    assert found.pop("--metrics-port") == {"SLUICE_METRICS_PORT", "SLUICE_AUTOSCALER_METRICS_PORT"}  # two parts may share an environment
    assert {flag: names for flag, names in found.items() if len(names) > 1} == {}
    assert found["--bootstrap-servers"] == {"SLUICE_BOOTSTRAP_SERVERS"}
    assert found["--kafka-config"] == {"SLUICE_KAFKA_CONFIG"}


def test_every_command_that_talks_to_brokers_takes_their_addresses_and_their_security():
    flags = {words: {option.opts[0] for option in options(command)} for words, command in ALL.items()}
    with_brokers = [words for words, of in flags.items() if "--bootstrap-servers" in of]
    assert [words[0] for words in with_brokers] == [
        "simulate", "operator", *["autoscaler"] * 4, "explain", "produce", "consume", *["dead-letters"] * 2]
    assert [words for words in with_brokers if "--kafka-config" not in flags[words]] == []


def test_no_flag_takes_a_secret():
    names = [option.opts[0] for command in ALL.values() for option in options(command)]
    assert [name for name in names if any(word in name for word in ("password", "secret", "token"))] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("launch", "No such command 'launch'"),
        ("run --rate 0", "the rate is 0.0; it must be above 0 events/s"),
        ("run --duration -1", "the duration is -1.0; it must be above 0 s"),
        ("run --inputs nowhere", "use digits, scenes, cards, a file of lines or a directory of files"),
        ("run --kafka-port 70000", "less than or equal to 65535"),
        ("run --pipeline nowhere.yaml", "nowhere.yaml"),
        ("run --shape square", "'steady', 'wave', 'bursts', 'poisson'"),
        ("check nowhere.yaml", "nowhere.yaml"),
        ("check", "Missing argument"),
        ("operator serve nowhere.yaml", "nowhere.yaml"),
        ("operator serve pipelines/digits.yaml --log-level loud", "'debug', 'info', 'warning', 'error'"),
        ("operator serve pipelines/digits.yaml --kafka-config nowhere.properties", "nowhere.properties"),
        ("autoscaler run nowhere.yaml", "nowhere.yaml"),
        ("autoscaler run pipelines/digits.yaml --kafka-config nowhere.properties", "nowhere.properties"),
        ("produce digits-in --count 0", "the count is 0; it must be at least 1"),
        ("produce digits-in --inputs nowhere", "use digits, scenes, cards, a file of lines or a directory of files"),
        ("produce digits-in --kafka-config nowhere.properties", "nowhere.properties"),
        ("consume", "Missing argument"),
        ("dead-letters replay digits-dead-letters", "Missing option '--to'"),
        ("stop --flink 127.0.0.1:1", "--flink HOST:PORT"),
        ("start pipelines/digits.yaml", "--from SNAPSHOT, --checkpoints DIRECTORY, or --fresh"),
        ("start pipelines/digits.yaml --from nowhere", "nowhere is no complete checkpoint or savepoint"),
        ("start pipelines/digits.yaml --fresh --from somewhere", "--fresh and --from contradict each other"),
    ],
)
def test_wrong_arguments_end_with_status_2_and_the_mend(arguments, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, arguments.split())
    assert (result.exit_code, said in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "--pipeline"),
        ("--pipeline nowhere.yaml", "nowhere.yaml"),
        ("--pipeline pipelines/digits.yaml --window 0", "0 is not a positive number"),
        ("--pipeline pipelines/digits.yaml --kafka-config nowhere.properties", "nowhere.properties"),
    ],
)
def test_the_job_says_the_same_of_its_own(arguments, said):
    done = subprocess.run([sys.executable, "jobs/pipeline.py", *arguments.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_the_job_takes_the_names_that_the_commands_take():
    done = subprocess.run([sys.executable, "jobs/pipeline.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(flag in done.stdout for flag in ("--pipeline", "--bootstrap-servers", "--service", "--kafka-config"))
