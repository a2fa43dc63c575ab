"""A real Prometheus beside the running machine, with the shipped rules and configuration: it finds every metric that they name, and alerts fire.

What is changed of the files: every duration is divided by FACTOR, scrapes and evaluations are a second apart, and the ports are the machine's.
"""

import json
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass

import pytest
import yaml

from jobs.embedded.ports import answers, free_ports
from tests.alerts.rules import FOLDER, metrics, program, rules, shortened
from tests.e2e.conftest import ONE_MODE
from tests.e2e.feed import Feed, collect, wait_for
from tests.e2e.test_metrics import flink, pass_through, scraped

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow, ONE_MODE]
FACTOR = 30


@dataclass
class Prometheus:
    port: int

    def ask(self, path, **parameters):
        """The data of an answer of its API."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as response:
            return json.load(response)["data"]

    def value(self, expression):
        """Of the one series that it names; None while there is none."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def reaches_all(self):
        return [target["health"] for target in self.ask("targets")["activeTargets"]] == ["up"] * 4

    def firing(self):
        return [alert for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]

    def fires(self, name, **labels):
        return any({"alertname": name, **labels}.items() <= alert["labels"].items() for alert in self.firing())


@pytest.fixture(scope="module")
def prometheus(stream, tmp_path_factory):
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    for file in ("recording.yaml", "alerts.yaml"):
        (folder / file).write_text(shortened((FOLDER / file).read_text(), FACTOR))
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    ports = {"sluice-service": [stream.ports.metrics], "sluice-autoscaler": [stream.ports.sidecar_metrics],
             "sluice-flink": [stream.ports.flink_metrics, stream.ports.flink_metrics + 1]}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{number}" for number in ports[job["job_name"]]]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    wait_for(lambda: answers(stream.ports.sidecar_metrics), "the sidecar, which starts last, is up")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        running = Prometheus(port)
        wait_for(lambda: process.poll() is not None or running.is_ready(), "Prometheus is up")
        assert process.poll() is None, (folder / "log").read_text()
        yield running
    finally:
        process.terminate()
        process.wait(20)


def named(families):
    """As rules name what was scraped; a family that has no series yet is one too."""
    for family in families.values():
        yield family.name + ("_total" if family.type == "counter" and not family.name.startswith("flink_") else "")
        yield from (sample.name for sample in family.samples)


def test_every_metric_that_a_rule_names_is_one_of_the_running_machine_s(stream, prometheus):
    pass_through(stream, "named-metrics")
    wait_for(prometheus.reaches_all, "all targets are up")
    asked = {name for file in ("recording.yaml", "alerts.yaml") for rule in rules(file) for name in metrics(rule["expr"])}
    assert {name.partition("_")[0] for name in asked} == {"flink", "sluice"}
    for families in (scraped(stream.ports.metrics), scraped(stream.ports.sidecar_metrics), flink(stream)):
        asked -= set(named(families))
    assert asked == set()
    in_time = 'flink_taskmanager_job_task_operator_user_outcome_events{job_name="sluice_echo",outcome="in_time"}'
    assert prometheus.value(in_time) is not None


def test_dead_letters_raise_their_alert_and_burn_the_budget(stream, prometheus):
    pass_through(stream, "alerts-calm")
    wait_for(lambda: prometheus.value('pipeline:sluice_events_in_time:ratio_rate5m{pipeline="echo"}') is not None, "the indicator")
    assert prometheus.value('pipeline:sluice_slo:ratio{pipeline="echo"}') == 0.99
    assert not prometheus.fires("SluiceDeadLetters")
    feed = Feed(stream.bootstrap_servers, stream.pipeline.source.name, "alerts-bad", 250, 25.0, value=lambda number: b"raise-%d" % number)
    feed.start()
    wait_for(lambda: prometheus.fires("SluiceDeadLetters", severity="warning", pipeline="echo"), "dead letters are told of")
    wait_for(lambda: prometheus.fires("SluiceDeadLetters", severity="critical", pipeline="echo"), "there are many")
    wait_for(lambda: prometheus.fires("SluiceErrorBudgetBurn", severity="critical", pipeline="echo"), "the budget burns")
    told = next(alert["annotations"] for alert in prometheus.firing() if alert["labels"]["alertname"] == "SluiceDeadLetters")
    assert "Next: `sluice dead-letters list" in told["description"]
    assert told["runbook"] == "docs/alerts.md#sluicedeadletters"
    assert not any(prometheus.fires(name) for name in ("SluicePartDown", "SluiceJobMissing", "SluiceReplicaCrashLoop", "SluiceCheckpointsFailing"))
    feed.finish()
    outcome = collect(stream.bootstrap_servers, stream.pipeline.sink.name, stream.pipeline.dead_letters.name, feed)
    assert set(outcome.reasons.values()) == {"operator-error"}
    reasons = 'flink_taskmanager_job_task_operator_user_stage_reason_deadLetters{stage="answer",reason="operator_error"}'
    wait_for(lambda: (prometheus.value(f"sum({reasons})") or 0) >= 250, "they are counted by stage and reason")
