"""Flink's REST interface as it answers when not all is well: an election of the leader, an error, nothing at all."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobs.embedded.ports import HOST
from jobs.embedded.rest import ELECTING, FlinkRest, RestError


@pytest.fixture
def flink():
    """A server that gives each call the next of `answers` (status, body), and the last of them for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.asked, server.answers = 0, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def rest(flink, timeout_s=10.0):
    return FlinkRest(f"{HOST}:{flink.server_port}", timeout_s)


def test_an_election_of_the_leader_is_waited_through(flink):
    flink.answers = [(ELECTING, {"errors": ["electing"]})] * 2 + [(200, {"status": "RUNNING"})]
    assert rest(flink).state("j") == "RUNNING"
    assert flink.asked == 3


def test_an_election_that_does_not_end_is_an_error_after_the_time_limit(flink):
    flink.answers = [(ELECTING, {"errors": ["Service temporarily unavailable due to an ongoing leader election."]})]
    with pytest.raises(RestError, match="ongoing leader election") as error:
        rest(flink, 0.3).state("j")
    assert error.value.status == ELECTING
    assert flink.asked > 1


def test_any_other_error_is_said_at_once(flink):
    flink.answers = [(404, {"errors": ["Job j not found"]})]
    with pytest.raises(RestError, match="404: Job j not found"):
        rest(flink).state("j")
    assert flink.asked == 1
