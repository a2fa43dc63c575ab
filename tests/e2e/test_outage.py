"""The service is away for longer than a checkpoint may take, with more rows waiting than the proxy may hold: the job waits with it, nothing
is lost or thrown away, and the stream goes on by itself. Too slow for its load it sheds, and each key's order stays."""

import signal
import time

import pytest

from autoscaler.graph.pipeline import Delivery
from tests.e2e.commands import setting
from tests.e2e.conftest import HERE, started, written
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
RATE = 300.0
KEYS = 7
CAPACITY = 400
CHECKPOINT_TIMEOUT_S, TRANSACTION_TIMEOUT_S = 3, 10
SETTINGS = {"execution.checkpointing.timeout": f"{CHECKPOINT_TIMEOUT_S} s", "metrics.fetcher.update-interval": "500"}
CHANGED = {"slo: 1 s": "slo: 3 s\norder: key", "    batch:": "      slow: {accuracy: 1.0, row_ms: 5}\n    on_late: dead-letter\n    batch:"}
AT_LEAST_ONCE = pytest.mark.parametrize("strict", ["echo.yaml"], ids=["at-least-once"], indirect=True)
"""For what has nothing to do with the delivery mode: what differs between them is behind the proxy."""
ARGUMENTS = ("--capacity-rows", str(CAPACITY), "--transaction-timeout-ms", str(1000 * TRANSACTION_TIMEOUT_S))


@pytest.fixture(scope="module", params=["echo.yaml", "echo-once.yaml"], ids=["at-least-once", "exactly-once"])
def strict(request, tmp_path_factory):
    """An echo pipeline in order of keys that dead-letters what is late, with little patience and room everywhere."""
    text = (HERE / request.param).read_text()
    for plain, changed in CHANGED.items():
        assert plain in text
        text = text.replace(plain, changed)
    pipeline = written(tmp_path_factory, request.param, text)
    with started(pipeline, tmp_path_factory, settings=SETTINGS, job_arguments=ARGUMENTS) as running:
        warm_up = Feed(running.bootstrap_servers, running.pipeline.source.name, "warm", 600, RATE)
        warm_up.start()
        warm_up.finish()  # the first events of a cold job may be late by themselves
        collect(running.bootstrap_servers, running.pipeline.sink.name, running.pipeline.dead_letters.name, warm_up)
        yield running


def test_the_service_away_for_longer_than_checkpoints_and_transactions_may_take(strict):
    def stop():
        strict.supervisor.stop_child("service")

    def start():
        strict.supervisor.start(strict.service())

    run_through(strict, "away", stop, start, away_s=TRANSACTION_TIMEOUT_S + 1)


@AT_LEAST_ONCE
def test_the_service_hangs_for_longer_than_a_checkpoint_may_take(strict):
    def freeze():
        strict.supervisor.kill("service", signal.SIGSTOP)
        wait_for(lambda: metric(strict, "connected") == 0, "the proxy sees that nobody answers")

    run_through(strict, "hangs", freeze, lambda: strict.supervisor.kill("service", signal.SIGCONT), away_s=0)


@AT_LEAST_ONCE
def test_what_an_overload_sheds_leaves_each_key_in_order(strict):
    def take(variant):
        setting(strict, "answer", {"variant": variant})
        wait_for(lambda: serving(strict) == [(variant, "serving")], f"{variant} serves")

    take("slow")
    feed = Feed(strict.bootstrap_servers, strict.pipeline.source.name, "shed", 8000, 2000.0, key=lambda number: b"key-%d" % (number % KEYS))
    feed.start()
    feed.finish()
    outcome = collect(strict.bootstrap_servers, strict.pipeline.sink.name, strict.pipeline.dead_letters.name, feed)
    take("only")
    assert_one_place(outcome, feed, exactly_once=False)
    assert len(outcome.dead) > 1000, "the load is several times what it carries"
    assert len(outcome.output) > 400, "it answers what it can meanwhile"
    assert all(reason.startswith("expired") for reason in outcome.reasons.values()), set(outcome.reasons.values())
    for key in range(KEYS):
        of_key = [number for number in outcome.order if number % KEYS == key]
        assert of_key == sorted(of_key)


def serving(strict) -> list[tuple[str, str]]:
    return [(lane["variant"], lane["state"]) for lane in setting(strict, "answer")["lanes"]]


def run_through(strict, name, go_away, come_back, away_s):
    """Sends events while the service goes away and comes back; asserts on the job meanwhile and on what became of the events."""
    restarts = strict.rest.restarts(strict.job_id)
    feed = Feed(strict.bootstrap_servers, strict.pipeline.source.name, name, 6000, RATE)
    feed.start()
    wait_for(lambda: feed.sent > RATE, "a second of events")
    began, sent_before, done_before = time.monotonic(), feed.sent, completed(strict)
    go_away()
    wait_for(lambda: metric(strict, "inFlightRows") >= CAPACITY, "the proxy is full")
    full = completed(strict)
    wait_for(lambda: completed(strict) >= full + 3, "checkpoints while it is full")
    wait_for(lambda: time.monotonic() > began + max(away_s, 2 * CHECKPOINT_TIMEOUT_S), "away for long enough")
    assert feed.sent - sent_before > 2 * CAPACITY
    assert completed(strict) >= done_before + 6
    come_back()
    feed.finish()
    outcome = collect(strict.bootstrap_servers, strict.pipeline.sink.name, strict.pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=strict.pipeline.delivery is Delivery.EXACTLY_ONCE)
    assert not outcome.dead, f"thrown away: {set(outcome.reasons.values())}"
    assert len(outcome.late) > CAPACITY
    assert f"{name}-0" not in outcome.late
    assert_goes_on(strict, f"{name}after")
    assert strict.rest.restarts(strict.job_id) == restarts


def assert_goes_on(strict, name):
    feed = Feed(strict.bootstrap_servers, strict.pipeline.source.name, name, 300, RATE)
    feed.start()
    feed.finish()
    outcome = collect(strict.bootstrap_servers, strict.pipeline.sink.name, strict.pipeline.dead_letters.name, feed)
    assert outcome.output.keys() == feed.ids()
    assert len(outcome.late) < 30, "in time again"


def completed(strict) -> int:
    return strict.rest.checkpoints(strict.job_id)["counts"]["completed"]


def metric(strict, name, stage="answer") -> float | None:
    """A gauge of the stage's proxy, None before it is known."""
    vertex = next(v for v in strict.rest.vertices(strict.job_id) if stage in v.name)
    found = strict.rest.get(f"/jobs/{strict.job_id}/vertices/{vertex.id}/subtasks/metrics")
    names = [m["id"] for m in found if m["id"].endswith(f".{name}")]
    return next(iter(strict.rest.metrics(strict.job_id, vertex.id, *names).values()), None) if names else None
