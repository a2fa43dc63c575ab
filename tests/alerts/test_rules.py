"""The alert rules: right by promtool and its unit tests, each fires and does not, each says what to do, each metric is one that a part has."""

import re
import subprocess

import pytest
import yaml

from autoscaler.metrics import SidecarMetrics
from operators.metrics import job_name
from tests.alerts.rules import FOLDER, RUNBOOKS, metrics, program, rules, shortened, unit_tests

ALERTS, RECORDS = rules("alerts.yaml"), rules("recording.yaml")
NAMES = sorted({rule["alert"] for rule in ALERTS})
EXPRESSIONS = [rule["expr"] for rule in (*ALERTS, *RECORDS)]


def promtool(*arguments) -> None:
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_rules_and_configuration():
    promtool("check", "rules", FOLDER / "recording.yaml", FOLDER / "alerts.yaml")
    promtool("check", "config", FOLDER / "prometheus.yaml")


@pytest.mark.parametrize("file", sorted((FOLDER / "tests").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_rules_pass_their_unit_tests(file):
    promtool("test", "rules", file)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: "-".join([rule["alert"], *rule["labels"].values()]))
def test_each_alert_fires_in_a_unit_test_and_in_another_does_not(rule):
    asked = [one for test in unit_tests() for one in test.get("alert_rule_test", ()) if one["alertname"] == rule["alert"]]
    fired = [alert["exp_labels"] for one in asked for alert in one["exp_alerts"]]
    assert any(rule["labels"].items() <= labels.items() for labels in fired)
    assert any(one["exp_alerts"] == [] for one in asked)


def test_each_recorded_series_has_its_value_in_a_unit_test():
    asked = {one["expr"].partition("{")[0] for test in unit_tests() for one in test.get("promql_expr_test", ())}
    assert asked == {rule["record"] for rule in RECORDS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: "-".join([rule["alert"], *rule["labels"].values()]))
def test_each_alert_says_how_urgent_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook"}
    assert "Next: " in told["description"]
    assert told["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    headings = [line.removeprefix("### ") for line in RUNBOOKS.read_text().splitlines() if line.startswith("### ")]
    assert sorted(headings) == NAMES


def test_a_recorded_series_that_a_rule_reads_is_recorded():
    recorded = {rule["record"] for rule in RECORDS}
    read = {name for expression in EXPRESSIONS for name in re.findall(r"\w+:sluice_\w+:\w+", expression)}
    assert read - recorded == set()


def test_the_sidecar_has_the_metrics_of_its_rules():
    families = {(family.name, family.type) for family in SidecarMetrics("digits").registry.collect()}
    has = {name + ("_total" if kind == "counter" else "") for name, kind in families}
    asked = {name for expression in EXPRESSIONS for name in metrics(expression) if name.startswith("sluice_autoscaler_")}
    assert asked
    assert asked - has == set()


def test_times_are_shortened_and_nothing_else():
    text = "expr: x:ratio_rate5m > rate(y[1h]) and z[5m] # of 2 m\nfor: 2m\nlabels: {long: 1h, short: 5m}\nrecord: a:rate3d\n"
    assert shortened(text, 60) == (
        "expr: x:ratio_rate5m > rate(y[60000ms]) and z[5000ms] # of 2 m\nfor: 2000ms\nlabels: {long: 60000ms, short: 5000ms}\nrecord: a:rate3d\n")
    for file in ("alerts.yaml", "recording.yaml"):
        before, after = yaml.safe_load((FOLDER / file).read_text()), yaml.safe_load(shortened((FOLDER / file).read_text(), 30))
        assert [[rule.get("alert"), rule.get("record"), rule.get("annotations")] for group in before["groups"] for rule in group["rules"]] == [
            [rule.get("alert"), rule.get("record"), rule.get("annotations")] for group in after["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("pipeline", "shown"), [("digits", "sluice_digits"), ("my-pipe_2", "sluice_my_pipe_2")])
def test_the_job_s_name_is_as_flink_shows_it(pipeline, shown):
    assert job_name(pipeline) == shown
