"""The sidecar with a policy of the planner on a running machine: it acts on the real service and the real job, says why, and goes on after a kill."""

import json
import urllib.request

import pytest

from autoscaler.flink import FlinkJob
from bench.reaction import PIPELINE
from jobs.consumer import TopicReader
from jobs.embedded.run import DECISIONS_TOPIC
from tests.e2e.commands import sluice
from tests.e2e.conftest import started, written
from tests.e2e.feed import Feed, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
STEP_EVENTS, STEP_RATE = 6000, 600.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The stage of `bench reaction`, whose profile lies beside its file."""
    file = written(tmp_path_factory, "reaction.yaml", PIPELINE.read_text())
    profile = PIPELINE.with_name("reaction.profile.yaml")
    file.with_name(profile.name).write_text(profile.read_text())
    with started(file, tmp_path_factory) as running:
        yield running


def setting(machine):
    with urllib.request.urlopen(f"http://{machine.http_address}/sluice/v1/stages/work", timeout=5) as response:
        return json.load(response)["setting"]


def decisions(machine):
    with TopicReader([DECISIONS_TOPIC], machine.client) as reader:
        return [json.loads(one.value) for one in reader.to_end()]


def log(machine):
    return machine.supervisor.log("sidecar").read_text()


def test_a_step_of_load_is_answered_in_place_and_each_decision_is_recorded(machine):
    wait_for(lambda: any(one["kind"] == "decision" for one in decisions(machine)), "a first decision")
    assert (setting(machine)["cores"], setting(machine)["replicas"]) == (1, 1)
    feed = Feed(machine.bootstrap_servers, machine.pipeline.source.name, "step", STEP_EVENTS, STEP_RATE)
    feed.start()
    wait_for(lambda: setting(machine)["cores"] == 2, "more cores")
    feed.finish()
    done = collect(machine.bootstrap_servers, machine.pipeline.sink.name, machine.pipeline.dead_letters.name, feed)
    assert done.ended() == feed.ids()
    made = [one for one in decisions(machine) if one["kind"] == "decision"]
    assert {one["policy"] for one in made} == {"sluice"}
    assert [one["sequence"] for one in made] == sorted({one["sequence"] for one in made})
    grown = next(one for one in made if one["stages"]["work"]["actions"])
    assert grown["stages"]["work"]["outcome"] == "confirmed"
    assert grown["stages"]["work"]["actions"]["cores"] == 2


def test_people_ask_why_and_what_another_policy_would_have_done(machine, tmp_path):
    brokers = ("--bootstrap-servers", machine.bootstrap_servers)
    told = sluice("explain", str(machine.config.pipeline), "--changes", *brokers)
    assert "of sluice (act)" in told
    assert "what binds" in told
    lines = sluice("explain", str(machine.config.pipeline), "--last", "500", "--json", *brokers)
    (tmp_path / "history").write_text(lines)
    made = sum(json.loads(line)["kind"] == "decision" for line in lines.splitlines())
    again = sluice("replay", str(tmp_path / "history"), "--pipeline", str(machine.config.pipeline))
    assert again.startswith(f"{made} decisions of sluice again by sluice:")
    assert "again by static" in sluice("replay", str(tmp_path / "history"), "--pipeline", str(machine.config.pipeline), "--policy", "static")


def test_it_is_told_to_pause_and_to_go_on(machine):
    brokers = ("--bootstrap-servers", machine.bootstrap_servers)
    sluice("autoscaler", "pause", str(machine.config.pipeline), *brokers)
    wait_for(lambda: "told to paused" in log(machine), "the sidecar heard it")
    sluice("autoscaler", "resume", str(machine.config.pipeline), *brokers)
    wait_for(lambda: "told to act" in log(machine), "the sidecar heard it")


def test_a_killed_sidecar_comes_back_with_its_memory_and_does_not_jump(machine):
    machine.supervisor.kill("sidecar")
    wait_for(lambda: "restored from" in log(machine), "it reads its records back")
    last = decisions(machine)[-1]["sequence"]
    wait_for(lambda: any(one["kind"] == "decision" and one["sequence"] > last for one in decisions(machine)), "decisions go on")
    first = next(one for one in decisions(machine) if one["kind"] == "decision" and one["sequence"] > last)
    (pool,) = first["inputs"]["stages"]["work"]["pools"]
    assert (pool["units"], pool["ready"]) == (setting(machine)["cores"], setting(machine)["replicas"])
    assert first["stages"]["work"]["actions"] == {}


def test_the_job_is_rescaled_through_flink_and_the_stall_is_measured(machine):
    job = FlinkJob(machine.pipeline, machine.rest)
    feed = Feed(machine.bootstrap_servers, machine.pipeline.source.name, "rescale", 600, 60.0)
    feed.start()
    done = job.rescale({"work": 2})
    assert done.parallelism == {"work": 2}
    assert done.stall_s is not None
    assert 0 < done.stall_s < 60
    assert job.look().vertices["work"].parallelism == 2
    feed.finish()
    collected = collect(machine.bootstrap_servers, machine.pipeline.sink.name, machine.pipeline.dead_letters.name, feed)
    assert collected.ended() == feed.ids()
    # Flink's metrics lag behind: for a while they tell of the job as it was just restored.
    wait_for(lambda: (progress := job.look().progress) is not None and progress.records > 0, "the source's progress after the restart")
