"""When the events of a topic came, from its beginning: the load that it has seen."""

from __future__ import annotations

from collections.abc import Callable

from jobs.consumer import TopicReader

TOLD = 10_000


def stamps_s(reader: TopicReader, tell: Callable[[int], None] = lambda count: None) -> list[float]:
    """Unix seconds of the committed records, by the timestamps that the topic keeps: of their creation, or of their arrival.

    Partition by partition as they come, so not sorted. tell: is told now and then how many there are so far.
    """
    found: list[float] = []
    for record in reader.to_end():
        found.append(record.timestamp_ms / 1000)
        if len(found) % TOLD == 0:
            tell(len(found))
    return found
