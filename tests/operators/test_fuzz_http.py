"""HTTP's front end under requests that no sane client sends: an error each, bounded memory, and no effect on others."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import control
from operators.http_inference import BODIES_BYTES_MAX, BODY_BYTES_MAX
from operators.protocol.json_tensors import DTYPES
from tests.operators.fuzzing import mutated, resident_mb, watched
from tests.operators.service import eventually

INFER = "/v2/models/work/infer"
FUZZ = settings(deadline=None, max_examples=100)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with watched(tmp_path_factory.mktemp("fuzz"), largest_bodies) as service:
        yield service


def largest_bodies(service):
    """As much as bodies may hold together."""
    head, content = binary([bytes(1 << 20)] * 60)
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: post(service, head + content, limit_s=60, **headers)[0], range(4))
    assert 200 in list(answers)


def binary(rows):
    """JSON, and the binary data behind it."""
    content = b"".join(struct.pack("<I", len(row)) + row for row in rows)
    head = {"inputs": [{"name": "rows", "datatype": "BYTES", "shape": [len(rows)], "parameters": {"binary_data_size": len(content)}}],
            "parameters": {"binary_data_output": True}}
    return json.dumps(head).encode(), content


def whole(head, content, more=""):
    """The request as it goes over the wire."""
    lengths = f"Content-Length: {len(head) + len(content)}\r\nInference-Header-Content-Length: {len(head)}\r\n"
    return f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{lengths}{more}\r\n".encode() + head + content


def post(service, body, path=INFER, method="POST", limit_s=10, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=limit_s)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def raw(service, content, half_closed=False):
    """What comes back for these bytes, until the service closes or a whole answer is there."""
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(content)
        if half_closed:
            peer.shutdown(socket.SHUT_WR)
        return peer.recv(1 << 16)
    return b""


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, -1, 10**400])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["rows", "rows", "deadline_ms", "keep", "min_accuracy", "value"]) | anything,
        "shape": st.lists(st.sampled_from([0, 1, 2, 2**31 - 1, 2**62, -1]), max_size=3) | anything,
        "datatype": st.sampled_from(["BYTES", "BYTES", *DTYPES]) | anything,
        "data": st.lists(st.text(max_size=3) | numbers, max_size=3) | anything,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "shared_memory_region", "shared_memory_byte_size"]), numbers, max_size=2),
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(tensors, max_size=3) | anything,
        "outputs": st.lists(tensors, max_size=2) | anything,
        "id": anything,
        "parameters": st.dictionaries(st.sampled_from(["timeout", "binary_data_output", "x"]), anything, max_size=2),
    },
)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5)


@FUZZ
@given(body=bodies, behind=st.binary(max_size=20), said=st.none() | st.integers(-3, 400) | words)
def test_any_body_is_answered_or_refused(service, body, behind, said):
    content = json.dumps(body).encode() + behind
    status, answer = post(service, content, **({} if said is None else {"Inference-Header-Content-Length": str(said)}))
    assert status in (200, 400), answer
    assert status == 200 or json.loads(answer)["error"]


@FUZZ
@given(seed=st.integers(0, 2**32), rows=st.lists(st.binary(max_size=6), min_size=1, max_size=3))
def test_any_mutated_bytes_are_answered_or_refused(service, seed, rows):
    """Of the whole request, its head among them."""
    head, content = binary(rows)
    request = whole(head, content, "Connection: close\r\n")
    answer = raw(service, mutated(request, random.Random(seed)), half_closed=True)
    assert status_of(answer) in (None, 200, 400, 404, 405, 413, 417), answer  # None: cut off in the middle of a request


@FUZZ
@given(seed=st.integers(0, 2**32))
def test_any_chunks_are_answered_or_refused(service, seed):
    head, content = binary([b"a", b"bc"])
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (head[:10], head[10:], content)) + b"0\r\n\r\n"
    lines = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nInference-Header-Content-Length: {len(head)}\r\n\r\n"
    answer = raw(service, lines.encode() + mutated(chunks, random.Random(seed)), half_closed=True)
    assert status_of(answer) in (None, 200, 400), answer


@pytest.mark.parametrize(("body", "said"), [
    (b'{"inputs": [{"name": "rows", "datatype": "BYTES", "data": [], "shape": [' + b"2147483647," * 300_000 + b"1]}]}", "at most 16"),
    (b'{"inputs": [{"name": "rows", "datatype": "BYTES", "shape": [' + b"1," * 899 + b'1], "data": ' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}]}", "at most 16"),
    (b'{"inputs": [{"name": "rows", "datatype": "INT64", "shape": [1], "data": [' + b"9" * 5000 + b"]}]}", "not JSON"),
    (b'{"inputs": [{"name": "' + b"n" * 3_000_000 + b'", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}', "inputs are ["),
    (b'{"inputs": [{"name": "rows", "datatype": "FP32", "shape": [2], "data": [NaN, Infinity]}]}', "is FP32; send BYTES"),
    (b'{"id": "' + b"i" * 2000 + b'", "inputs": [{"name": "rows", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}', "the id has 2000 characters"),
    (b"[" * 1_000_000, "not JSON"),
])
def test_huge_and_deep_bodies_are_refused_in_few_words(service, body, said):
    status, answer = post(service, body)
    assert status == 400
    assert said in json.loads(answer)["error"]
    assert len(answer) < 1100


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json; charset=nonsense"}, {"Content-Type": "text/plain; charset=utf-16"}, {}])
@pytest.mark.parametrize("body", [b"[" * 60_000, b"\xff\xfe", b'{"replicas": 1e999}', b'{"replicas": NaN}'])
def test_a_change_that_cannot_be_read_is_refused(service, body, headers):
    status, answer = post(service, body, "/sluice/v1/stages/work", "PATCH", **headers)
    assert status in (400, 422), answer


def test_giant_bodies_side_by_side_are_bounded(service):
    """More of them than the service holds at once, none of them ever whole: some are refused, the rest wait, and others are answered."""
    before_mb, peers = resident_mb(service), []
    most = BODIES_BYTES_MAX // BODY_BYTES_MAX
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n".encode()
    block, refused = bytes(1 << 20), 0
    try:
        for _ in range(most + 2):
            peer = socket.create_connection(("127.0.0.1", service.http_port), timeout=10)
            peers.append(peer)
            with contextlib.suppress(ConnectionError):
                peer.sendall(head)
                for _ in range(60):
                    peer.sendall(block)
            peer.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                refused += status_of(peer.recv(100)) == 503
        assert refused > 0
        assert resident_mb(service) - before_mb < 1.5 * BODIES_BYTES_MAX / 2**20
    finally:
        for peer in peers:
            peer.close()

    def answered():
        status, _ = post(service, b'{"inputs": [{"name": "rows", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}')
        return status == 200

    eventually(answered, "room again")


def test_clients_that_break_off_anywhere_leave_nothing(service):
    head, content = binary([b"a" * 1000] * 20)
    request = whole(head, content)
    chance = random.Random(7)
    for number in range(60):
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as peer:
            peer.sendall(request[: chance.randrange(len(request) + 1)])
            if number % 2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it
    eventually(lambda: (now := service.stage())["queued"] == now["in_flight"] == 0, "their rows to be gone")


def test_a_slow_sender_holds_up_nobody_and_is_closed_in_the_end():
    """Its head comes byte by byte and never ends."""

    async def scenario():
        runner = control.runner(web.Application(), idle_s=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"G")
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(100), 0.02)
        writer.close()
        await runner.cleanup()

    asyncio.run(scenario())
