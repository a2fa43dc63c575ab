import socket

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators import wire
from operators.wire import AnswerFrame, Kind


def joined(buffers):
    return b"".join(bytes(buffer) for buffer in buffers)


def read(stream, cuts):
    incoming, frames, at = wire.Incoming(), [], 0
    for cut in [*sorted(cuts), len(stream)]:
        frames += [(frame.kind, frame.parts, frame.rows, bytes(frame.body)) for frame in incoming.frames(stream[at:cut])]
        at = cut
    return frames


@given(st.lists(st.binary(max_size=50), max_size=5), st.lists(st.integers(0, 300), max_size=20))
def test_frames_come_out_however_the_stream_is_cut(bodies, cuts):
    stream = b"".join(joined(wire.pack_batch([len(body)], [body])) for body in bodies)
    frames = read(stream, [min(cut, len(stream)) for cut in cuts])
    assert [(kind, rows, body[4:]) for kind, _, rows, body in frames] == [(Kind.BATCH, len(body), body) for body in bodies]


def test_a_batch_names_the_rows_of_each_part():
    (frame,) = wire.Incoming().frames(joined(wire.pack_batch([2, 1], [b"ab", b"c"])))
    counts, rows = wire.unpack_batch(frame)
    assert (counts, bytes(rows), frame.rows) == ([2, 1], b"abc", 3)


def test_an_answer_carries_failures_children_and_reasons():
    failed, children = np.array([0, 2, 0], np.uint8), np.array([2, 0, 1], np.int32)
    sent = AnswerFrame(1234, [5, 7], memoryview(b"x" * 12), failed, children, {1: "operator-error: no"}, [3, 65535])
    (frame,) = wire.Incoming().frames(joined(wire.pack_answer(3, sent)))
    got = wire.unpack_answer(frame)
    assert (got.compute_us, got.sizes, bytes(got.payload), got.reasons) == (1234, [5, 7], b"x" * 12, {1: "operator-error: no"})
    assert got.states == [3, 65535]
    assert got.failed.tolist() == [0, 2, 0]
    assert got.children.tolist() == [2, 0, 1]


def test_what_does_not_fit_the_socket_goes_later():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        outgoing, received = wire.Outgoing(), b""
        outgoing.add([b"a" * 3_000_000, b"", b"b" * 10])
        assert not outgoing.send(ours)
        while not outgoing.send(ours):
            received += theirs.recv(1 << 20)
        ours.shutdown(socket.SHUT_WR)
        while chunk := theirs.recv(1 << 20):
            received += chunk
    assert received == b"a" * 3_000_000 + b"b" * 10
