"""Branches, fan-out, join and order on the running job: every event takes the one right way, and comes out where and in the order it should."""

import json

import pytest

from autoscaler.graph.pipeline import Delivery, Incomplete, Order
from tests.e2e.commands import setting
from tests.e2e.conftest import HERE, started, written
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
STRICT = {"order: none": "order: key", "delivery: at-least-once": "delivery: exactly-once", "incomplete: partial": "incomplete: dead-letter"}


@pytest.fixture(scope="module", params=[{}, STRICT], ids=["partial", "ordered"])
def graph(request, tmp_path_factory):
    """The graph, plain or strict in everything."""
    text = (HERE / "graph.yaml").read_text()
    for plain, strict in request.param.items():
        assert plain in text
        text = text.replace(plain, strict)
    pipeline = written(tmp_path_factory, "graph.yaml", text)
    with started(pipeline, tmp_path_factory, settings={"metrics.fetcher.update-interval": "500"}) as running:
        yield running


def outcome_of(graph, prefix, events, rate=500.0, key=None):
    """Feeds these JSON events and returns what became of them."""
    feed = Feed(graph.bootstrap_servers, graph.pipeline.source.name, prefix, len(events), rate,
                lambda number: json.dumps(events[number]).encode(), key)
    feed.start()
    feed.finish()
    return ended(graph, feed)


def ended(graph, feed):
    outcome = collect(graph.bootstrap_servers, graph.pipeline.sink.name, graph.pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=graph.pipeline.delivery is Delivery.EXACTLY_ONCE)
    return outcome


def passed(record) -> list[dict[str, str]]:
    """The fields of a record's `stage` headers."""
    return [dict(part.split("=") for part in value.decode().split(";")) for name, value in record.headers if name == "stage"]


def way(record) -> list[str]:
    """The stages that a record's headers say it passed, a child's with its index."""
    return [found["name"] + (f"/{found['child']}" if "child" in found else "") for found in passed(record)]


def parts(*sures):
    return [{"n": n, "sure": sure} for n, sure in enumerate(sures)]


@pytest.mark.parametrize(("name", "event", "stage"), [
    ("first", {"kind": "left", "size": 9}, "left"),
    ("second", {"kind": "right", "size": 2}, "right"),
    ("notmet", {"kind": "right", "size": 1}, "plain"),
    ("null", {"kind": "right"}, "plain"),
    ("neither", {}, "plain")])
def test_an_event_takes_the_way_of_the_first_condition_it_meets(graph, name, event, stage):
    outcome = outcome_of(graph, f"way{name}", [{**event, "parts": parts(0.9)}])
    assert way(outcome.records[f"way{name}-0"]) == ["look", stage, "split", "weigh/0"]


def test_children_come_together_in_order_whatever_way_they_took(graph):
    outcome = outcome_of(graph, "joined", [{"parts": parts(0.1, 0.9, 0.3)}] * 20)
    assert not outcome.dead, f"nothing was wrong with these rows: {outcome.reasons}"
    for record in outcome.records.values():
        assert [(part["n"], "again" in part) for part in json.loads(record.value)] == [(0, True), (1, False), (2, True)]
        stages = way(record)
        assert stages[:3] == ["look", "plain", "split"]
        assert sorted(stages[3:]) == ["again/0", "again/2", "weigh/0", "weigh/1", "weigh/2"]


def test_no_children_complete_at_once(graph):
    outcome = outcome_of(graph, "none", [{"kind": "left", "parts": []}])
    assert outcome.values == {"none-0": b"[]"}
    assert way(outcome.records["none-0"]) == ["look", "left", "split"]
    assert not outcome.late


def test_an_event_meets_one_variant_and_version_at_all_stages_of_a_model(graph):
    def take(change):
        for stage in ("look", "plain"):
            setting(graph, stage, change)
            wait_for(lambda stage=stage: [lane["state"] for lane in setting(graph, stage)["lanes"]] == ["serving"] * len(change["variants"]), stage)

    take({"variants": {"only": {"share": 0.5}, "other": {"share": 0.5}}})
    outcome = outcome_of(graph, "met", [{"parts": []}] * 300)
    take({"variants": {"only": {"share": 1.0}}})
    met = [[(found["variant"], found["version"]) for found in passed(record) if found["name"] in ("look", "plain")] for record in outcome.records.values()]
    assert sorted(met) == [[("only", "1")] * 2] * 150 + [[("other", "1")] * 2] * 150


def test_a_child_that_fails_leaves_a_gap_or_fails_its_parent(graph):
    outcome = outcome_of(graph, "fails", [{"parts": [{"n": 0, "sure": 1}, {"n": 1, "fail": True}]}])
    if graph.pipeline.join.incomplete is Incomplete.PARTIAL:
        assert json.loads(outcome.values["fails-0"]) == [{"n": 0, "sure": 1}, None]
    else:
        assert outcome.reasons == {"fails-0": "child-failed"}
        assert outcome.records["fails-0"].header("dead-letter-detail") == "1: bad-input"


def test_a_child_later_than_the_horizon_leaves_a_gap_or_fails_its_parent_and_is_counted(graph):
    before = late_children(graph)
    outcome = outcome_of(graph, "slow", [{"parts": [{"n": 0, "sure": 1}, {"n": 1, "sure": 0.1, "sleep_s": 9}]}])
    if graph.pipeline.join.incomplete is Incomplete.PARTIAL:
        assert json.loads(outcome.values["slow-0"]) == [{"n": 0, "sure": 1}, None]
    else:
        assert outcome.reasons == {"slow-0": "join-timeout"}
        assert outcome.records["slow-0"].header("dead-letter-detail") == "1: missing"
    wait_for(lambda: late_children(graph) == before + 1, "the late child is counted")


def late_children(graph) -> int:
    vertex = next(v for v in graph.rest.vertices(graph.job_id) if "join gather" in v.name)
    found = graph.rest.get(f"/jobs/{graph.job_id}/vertices/{vertex.id}/subtasks/metrics")
    names = [m["id"] for m in found if m["id"].endswith(".lateChildren")]
    return int(sum(graph.rest.metrics(graph.job_id, vertex.id, *names).values())) if names else 0


def test_a_kill_and_a_rescale_change_neither_results_nor_order(graph):
    def value(number):
        kind = ("left", "right", "other")[number % 3]
        return json.dumps({"kind": kind, "size": number, "parts": parts(*[0.1 + 0.2 * (number % 5)] * (number % 4))}).encode()

    feed = Feed(graph.bootstrap_servers, graph.pipeline.source.name, "order", 4000, 500.0, value, lambda number: b"key-%d" % (number % 7))
    feed.start()
    wait_for(lambda: feed.sent > 1000, "a quarter of the events sent")
    graph.supervisor.kill("taskmanager")
    wait_for(lambda: feed.sent > 2500, "more of them sent")
    graph.rest.wait_running(graph.job_id)
    wider = [v for v in graph.rest.vertices(graph.job_id) if v.name.startswith(("Source", "order", "stage weigh", "stage plain"))]
    graph.rest.require(graph.job_id, {vertex.id: (1, 2) for vertex in wider})
    wait_for(lambda: {v.parallelism for v in graph.rest.vertices(graph.job_id) if v.id in {w.id for w in wider}} == {2}, "the new parallelism")
    feed.finish()
    outcome = ended(graph, feed)
    assert not outcome.dead, f"nothing was wrong with these rows: {set(outcome.reasons.values())}"
    for event_id, text in outcome.values.items():
        assert len(json.loads(text)) == int(event_id.rpartition("-")[2]) % 4
        assert None not in json.loads(text)
    if graph.pipeline.order is Order.KEY:
        for key in range(7):
            assert [number for number in outcome.order if number % 7 == key] == list(range(key, 4000, 7))
