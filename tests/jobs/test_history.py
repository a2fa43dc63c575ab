"""The load that a topic has seen."""

from jobs.consumer import Record
from jobs.history import stamps_s


class Topic:
    """A reader of records that are there already."""

    def __init__(self, stamps_ms):
        self.stamps_ms = stamps_ms

    def to_end(self):
        return (Record("t", number % 2, number, stamp_ms, None, b"", ()) for number, stamp_ms in enumerate(self.stamps_ms))


def test_stamps_are_seconds_in_the_order_of_the_records():
    assert stamps_s(Topic([1500, 1000, 2250])) == [1.5, 1.0, 2.25]


def test_progress_is_told_now_and_then():
    told = []
    stamps_s(Topic([0] * 25_000), told.append)
    assert told == [10_000, 20_000]
