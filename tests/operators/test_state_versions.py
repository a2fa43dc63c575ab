"""Versions of a stage with state that keep something else than the one before: they take over, or are refused before they take a row."""

import pytest

from operators.turns import decode_answer, encode_turn
from tests.operators.service import Service, Stream, eventually, request
from tests.operators.stored import store_tally

STAGES = """
  tally:
    operator: tests.operators.stored:Tally
    state: {ttl: 10 min}
    variants: {plain: {accuracy: 0.9}}
"""


@pytest.fixture
def service(tmp_path):
    """Serves version 1, which writes states of version 1; 2 writes version 2 and reads both, 3 writes 1 and reads both, 4 knows neither."""
    models = tmp_path / "models"
    store_tally(models, "1", writes=1)
    service = Service(tmp_path, arguments=["--models", str(models)], stages=STAGES)
    store_tally(models, "2", writes=2, reads=[1])
    store_tally(models, "3", writes=1, reads=[2])
    store_tally(models, "4", writes=3)
    yield service
    service.close()


class Keys:
    """What Flink would keep of each key."""

    def __init__(self, service):
        self.stream, self.states, self.number = Stream(service.stub), {}, 0

    def turn(self, *keys, events=2):
        """Each key's answers to some events."""
        self.number += 1
        self.stream.send(request(self.number, [encode_turn(self.states.get(key, b""), [b"event"] * events) for key in keys], stage="tally"))
        eventually(lambda: not self.stream.outstanding(), "the answers")
        answers = {}
        for row, (status, answer) in self.stream.answers[str(self.number)].items():
            assert status == 0, answer
            self.states[keys[row]], answers[keys[row]] = decode_answer(answer)
        return answers


def post(service, what, **body):
    return service.http(f"/sluice/v1/stages/tally/{what}", body, method="POST")


def update(service, version, **plan):
    """How it ended."""
    status, said = post(service, "update", version=version, **plan)
    assert status == 202, said
    return eventually(lambda: (said := service.http("/sluice/v1/stages/tally/update")[1])["ended"] and said, "the end of the update")


def change(service, **setting):
    return service.http("/sluice/v1/stages/tally", setting)


def stage(service):
    return service.http("/sluice/v1/stages/tally")[1]


def test_a_version_reads_what_the_one_before_wrote_and_there_is_no_way_back(service):
    keys = Keys(service)
    assert keys.turn("a") == {"a": [b"1 v1", b"2 v1"]}
    assert update(service, "2")["phase"] == "done"
    assert keys.turn("a", "b") == {"a": [b"3 v2", b"4 v2"], "b": [b"1 v2", b"2 v2"]}
    status, said = post(service, "rollback")
    assert status == 400
    assert "plain:1 reads states of version 1, but keys may have some of version 2" in said["error"]
    status, said = change(service, variants={"plain": {"share": 1.0, "version": "1"}})
    assert status == 422
    assert "plain:1 reads states of version 1, but keys may have some of version 2" in said["error"]
    assert update(service, "3")["phase"] == "done"
    assert keys.turn("a", "b") == {"a": [b"5 v3", b"6 v3"], "b": [b"3 v3", b"4 v3"]}


def test_a_version_that_does_not_read_the_states_never_takes_a_row(service):
    keys = Keys(service)
    keys.turn("a")
    ended = update(service, "4")
    assert (ended["phase"], ended["new"]["rows"]) == ("rolled back", 0)
    assert ended["reason"].startswith("plain:4 reads states of version 3, but keys may have some of version 1")
    status, said = post(service, "update", version="4")
    assert status == 400, "once it is known it is refused at once"
    assert ended["reason"].partition(",")[0] in said["error"]
    assert keys.turn("a") == {"a": [b"3 v1", b"4 v1"]}


def test_a_setting_with_such_a_version_never_serves(service):
    keys = Keys(service)
    keys.turn("a")
    status, said = change(service, variants={"plain": {"share": 1.0, "version": "4"}})
    assert status == 200, said  # what it reads is known once it is loaded
    eventually(lambda: "plain:4 reads states of version 3" in (stage(service)["problem"] or ""), "the refusal")
    assert keys.turn("a") == {"a": [b"3 v1", b"4 v1"]}
    assert change(service, variants={"plain": {"share": 1.0, "version": "1"}})[0] == 200
    eventually(lambda: [lane["version"] for lane in stage(service)["lanes"]] == ["1"], "version 1 alone")
    assert keys.turn("a") == {"a": [b"5 v1", b"6 v1"]}


def test_a_canary_needs_both_to_read_each_other(service):
    keys = Keys(service)
    keys.turn("a")
    ended = update(service, "2", canary=0.5)
    assert (ended["phase"], ended["new"]["rows"]) == ("rolled back", 0)
    assert ended["reason"].startswith("plain:1 reads states of version 1, not of version 2 as plain:2 writes them")
    assert update(service, "3")["phase"] == "done"  # which reads version 2
    begun = post(service, "update", version="2", canary=0.5)
    assert begun[0] == 202
    seen, versions = 2, set()

    def went_on():
        nonlocal seen
        for number, version in (answer.split() for answer in keys.turn("a", events=10)["a"]):
            seen += 1
            assert int(number) == seen
            versions.add(version)
        return service.http("/sluice/v1/stages/tally/update")[1]["ended"]

    eventually(went_on, "the end of the canary")
    assert service.http("/sluice/v1/stages/tally/update")[1]["phase"] == "done"
    assert versions == {b"v2", b"v3"}
