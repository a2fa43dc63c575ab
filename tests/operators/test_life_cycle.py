"""Changes, kills and stops while rows flow: none is lost, none answered twice."""

import os
import signal
import subprocess
import sys
import threading

import grpc
import pytest

from tests.operators.service import LIMIT_S, PIPELINE, Service, Stream, alive, eventually, request


class Load(threading.Thread):
    """Keeps a few hundred rows in flight until told to stop."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.stream = Stream(service.stub)
        self.rows = {}
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.002):
            if self.stream.outstanding() < 400:
                number = str(len(self.rows))
                self.rows[number] = [b"%s/%d" % (number.encode(), at) for at in range(40)]
                self.stream.send(request(number, self.rows[number]))

    def flowing(self):
        """Waits until rows that were sent from now on are answered."""
        number = str(len(self.rows) + 1)
        eventually(lambda: number in self.stream.answers or self.stream.error, "rows to flow")

    def finish(self, marks=(b"",)):
        """All rows were answered once, with one of the suffixes."""
        self.ended.set()
        self.join()
        answers = self.stream.finish()
        assert not self.stream.repeated
        for number, rows in self.rows.items():
            for at, row in enumerate(rows):
                status, result = answers[number][at]
                assert status in (0, 1), (number, at, result)
                assert result in [row + mark for mark in marks]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("life"), "Sleeper", batch=32, replicas=2, sleep_ms=2)
    yield service
    service.close()


@pytest.fixture
def started(tmp_path):
    services = []

    def start(**setting):
        services.append(Service(tmp_path, "Sleeper", **setting))
        return services[-1]

    yield start
    for service in services:
        service.close()


def test_killed_replicas_lose_nothing(service):
    load = Load(service)
    for _ in range(4):
        load.flowing()
        os.kill(eventually(service.pids, "a replica")[0], signal.SIGKILL)
    service.wait_for_replicas(2)
    load.flowing()
    load.finish()


def test_the_number_of_replicas_changes_under_load(service):
    load = Load(service)
    for count in (3, 1, 2):
        load.flowing()
        assert service.change(replicas=count)["replicas"] == count
        service.wait_for_replicas(count)
    load.finish()


def test_batch_cores_and_window_change_under_load(service):
    load = Load(service)
    load.flowing()
    answer = service.change(batch=4, cores=2, window=100)
    assert (answer["batch"], answer["cores"], answer["window"]) == (4, 2, 100)
    load.flowing()
    service.change(batch=32, cores=1)
    load.finish()


def test_the_variant_changes_under_load_without_a_gap(service):
    load = Load(service)
    for variant in ("marked", "plain"):
        load.flowing()
        assert service.change(variant=variant)["variant"] == variant
        while load.stream.variants[-1] != variant:
            assert service.stage()["replicas_ready"] > 0
        load.flowing()
    load.finish(marks=[b"", b"!"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"replicas": 4}, "replicas of stage work is 4; use a whole number from 1 to 3"),
        ({"replicas": 0}, "from 1 to 3"),
        ({"batch": 33}, "batch of stage work is 33; use a whole number from 1 to 32"),
        ({"batch": "8"}, "batch of stage work is '8'"),
        ({"variant": "cnn"}, "stage work has no variant 'cnn'; the pipeline file names plain, marked"),
        ({"cores": True}, "cores of stage work is True"),
        ({"speed": 1}, "unknown setting 'speed'; use replicas, batch, cores, window, spares, variant"),
    ],
)
def test_a_setting_that_the_file_does_not_allow_is_refused_whole(service, change, text):
    before = service.stage()["setting"]
    status, answer = service.http("/sluice/v1/stages/work", {"window": 77, **change})
    assert status == 422
    assert text in answer["error"]
    assert service.stage()["setting"] == before


def test_a_change_that_is_no_object_or_for_no_stage_is_refused(service):
    assert service.http("/sluice/v1/stages/work", [1])[0] == 400
    assert service.http("/sluice/v1/stages/walk", {})[0] == 404


def test_sigterm_answers_what_was_sent_and_leaves_no_process(started):
    service = started(batch=8, sleep_ms=100)
    stream = Stream(service.stub)
    for number in range(20):
        stream.send(request(number, [b"x"] * 8))
    eventually(lambda: (now := service.stage())["queued"] + now["in_flight"] + 160 - stream.outstanding() == 160, "all rows to be there")
    assert stream.outstanding()
    pids = service.pids()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(LIMIT_S) == 0
    eventually(lambda: stream.error, "the stream to end")
    assert stream.error.code() == grpc.StatusCode.UNAVAILABLE
    assert stream.outstanding() == 0
    assert not any(alive(pid) for pid in pids)


def test_a_killed_service_leaves_no_replica(started):
    service = started(replicas=2, sleep_ms=3000)
    Stream(service.stub).send(request("a", [b"x"]))
    pids = eventually(lambda: len(found := service.pids()) == 2 and found, "two replicas")
    service.process.kill()
    service.process.wait(LIMIT_S)
    eventually(lambda: not any(alive(pid) for pid in pids), "the replicas to be gone")


def refused(tmp_path, text, *options, status=1):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
    command = [sys.executable, "-m", "operators.cli", "serve", str(path), *ports, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == status
    return done.stderr.splitlines()[-1]


def pipeline(operator):
    text = PIPELINE.format(operator="Echo", fan_out="false", on_late="answer", sleep_ms=0, batch=8, replicas=1)
    return text.replace("operators.echo:Echo", operator)


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        ("operators.nothing:Echo", "stage work: operator operators.nothing:Echo: no module named 'operators.nothing'"),
        ("operators.echo:Ecko", "operators.echo has no operator class 'Ecko'; it has"),
        ("operators.echo:Broken", "operators.echo:Broken cannot be loaded: RuntimeError: this operator never loads"),
        ("operators.echo:Splitter", "fans out, but the pipeline file says fan_out: false"),
        ("operators.cards:Recent", "keeps state, but the pipeline file gives its stage no state; make them agree"),
    ],
)
def test_an_operator_that_cannot_serve_stops_the_start(tmp_path, operator, text):
    assert text in refused(tmp_path, pipeline(operator))


def test_a_taken_port_is_named(service, tmp_path):
    assert f"127.0.0.1:{service.http_port}" in refused(tmp_path, pipeline("operators.echo:Echo"), "--http-port", str(service.http_port))
    assert f"127.0.0.1:{service.grpc_port}" in refused(tmp_path, pipeline("operators.echo:Echo"), "--grpc-port", str(service.grpc_port))


def test_a_wrong_pipeline_file_is_named_with_its_line(tmp_path):
    assert "t.yaml:9: stages.work.operater" in refused(tmp_path, pipeline("operators.echo:Echo").replace("operator:", "operater:"), status=2)
