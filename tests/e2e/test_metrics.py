"""What Prometheus reads from Flink, the service and the sidecar while events flow: names, labels, and counters that count."""

import re
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.embedded.ports import answers
from tests.e2e.conftest import ONE_MODE
from tests.e2e.feed import POLL_S, Feed, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, ONE_MODE]

EVENTS = 400
NAME = re.compile(r"[a-z]+(_[a-z]+)+")
NOT_BASE_UNITS = re.compile(r"_(ms|us|ns|millis\w*|micros\w*|nanos\w*|minutes|kb|mb|kib|mib|percent)(_|$)")
RUNTIME = ("python_", "process_")
"""What prometheus_client itself says of any Python process."""


def scraped(port):
    """Families of samples by name; asked again, as Prometheus would, where the connection breaks."""
    until = time.monotonic() + 60.0
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
                return {family.name: family for family in text_string_to_metric_families(response.read().decode())}
        except ConnectionError:
            assert time.monotonic() < until, f"no figures from port {port}"
            time.sleep(POLL_S)


def value(families, sample, **labels):
    """The sum of the samples of that name that carry these labels."""
    return sum(one.value for family in families.values() for one in family.samples
               if one.name == sample and labels.items() <= one.labels.items())


def flink(stream):
    """The families of JobManager and TaskManager; which has which port depends on who came first."""
    both = [scraped(stream.ports.flink_metrics), scraped(stream.ports.flink_metrics + 1)]
    return {name: family for families in both for name, family in families.items()}


def pass_through(stream, prefix):
    feed = Feed(stream.bootstrap_servers, stream.pipeline.source.name, prefix, EVENTS, 800.0)
    feed.start()
    feed.finish()
    collect(stream.bootstrap_servers, stream.pipeline.sink.name, stream.pipeline.dead_letters.name, feed)


def assert_conventions(families):
    own = {name: family for name, family in families.items() if not name.startswith(RUNTIME)}
    assert own
    assert [name for name in own if not (NAME.fullmatch(name) and name.startswith("sluice_"))] == []
    assert [name for name in own if NOT_BASE_UNITS.search(name)] == []
    samples = {sample.name for family in own.values() if family.type == "counter" for sample in family.samples}
    assert {name for name in samples if not name.endswith(("_total", "_created"))} == set()
    assert [name for name, family in own.items() if not family.documentation] == []
    (build,) = own["sluice_build_info"].samples
    assert (build.value, set(build.labels)) == (1, {"component", "version"})


def test_flink_counts_each_stage_s_rows_by_the_stage_s_name(stream):
    def rows(metric):
        return value(flink(stream), f"flink_taskmanager_job_task_operator_{metric}", operator_name="stage_answer")

    before = {metric: rows(metric) for metric in ("rowsSent", "rowsAnswered")}
    pass_through(stream, "flink-metrics")
    assert rows("rowsSent") >= before["rowsSent"] + EVENTS
    assert rows("rowsAnswered") >= before["rowsAnswered"] + EVENTS
    families = flink(stream)
    assert {"flink_jobmanager_numRegisteredTaskManagers", "flink_taskmanager_Status_JVM_Memory_Heap_Used"} <= families.keys()
    assert value(families, "flink_jobmanager_job_numberOfCompletedCheckpoints") > 0


def test_the_service_counts_rows_batches_and_times_of_each_stage(stream):
    labels = {"pipeline": stream.pipeline.name, "stage": "answer"}
    before = scraped(stream.ports.metrics)
    assert_conventions(before)
    pass_through(stream, "service-metrics")
    after = scraped(stream.ports.metrics)

    def grown(sample, **more):
        return value(after, sample, **labels, **more) - value(before, sample, **labels, **more)

    assert grown("sluice_stage_rows_total", outcome="ok") + grown("sluice_stage_rows_total", outcome="late") >= EVENTS
    assert grown("sluice_stage_arrivals_total") >= EVENTS
    assert grown("sluice_stage_batch_rows_total") >= EVENTS
    assert 0 < grown("sluice_stage_batches_total") <= grown("sluice_stage_batch_rows_total")
    for name in ("queue", "compute", "total"):
        assert grown(f"sluice_stage_{name}_seconds_count") >= EVENTS
    assert value(after, "sluice_stage_replicas", **labels, state="ready") >= 1


def test_the_sidecar_counts_what_it_read_and_decided(stream):
    labels = {"pipeline": stream.pipeline.name, "stage": "answer"}
    wait_for(lambda: answers(stream.ports.sidecar_metrics), "the sidecar, which starts last, is up")
    wait_for(lambda: value(scraped(stream.ports.sidecar_metrics), "sluice_autoscaler_decisions_total", **labels) > 0, "a decision")
    before = scraped(stream.ports.sidecar_metrics)
    assert_conventions(before)

    def read(families):
        return value(families, "sluice_autoscaler_telemetry_records_total")

    wait_for(lambda: read(scraped(stream.ports.sidecar_metrics)) > read(before), "a further record of telemetry")
    after = scraped(stream.ports.sidecar_metrics)
    assert value(after, "sluice_autoscaler_telemetry_age_seconds", **labels) < 30
    assert value(after, "sluice_autoscaler_desired_replicas", **labels) >= 1
