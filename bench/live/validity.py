"""Whether a run says something about its policy, or about a machine that had not enough for everybody.

    others     busy - used, of a second: what everything but the replicas took, of CPU seconds
    waited     of the time in which the replicas wanted a core, the share without one, throttling by their quotas aside
    starved    a second in which waited > WAITED and others > cores of the machine - budget: the replicas went without, and Kafka, Flink, the
               sidecar, the service and the load took more than what the budget leaves them

A run is invalid with more than STARVED of its seconds starved; when the host took more than `bench.host.DISTURBED` of the cores; or when more
than LATE_SENDS of the events were sent later than a quarter of the SLO after they were due, for then the load was another one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from bench.host import DISTURBED
from bench.live.watch import Sample

WAITED = 0.25
STARVED = 0.05
LATE_SENDS, LATE_PART = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class Machine:
    """Shares 0..1 over a run. waited: of the time in which replicas wanted a core. others: cores, mean."""

    starved: float
    waited: float
    others: float
    stolen: float
    late_sends: float

    def reasons(self) -> tuple[str, ...]:
        """Why the run is invalid; () = it is not."""
        found = []
        if self.starved > STARVED:
            found.append(f"in {self.starved:.1%} of the seconds the replicas were starved of cores")
        if self.stolen > DISTURBED:
            found.append(f"the host took {self.stolen:.1%} of the cores")
        if self.late_sends > LATE_SENDS:
            found.append(f"{self.late_sends:.1%} of the events were sent late")
        return tuple(found)


def machine(samples: Sequence[Sample], late_s: Sequence[float], slo_ms: float, cores: int, budget: float) -> Machine:
    """samples: two or more, of the counted time. late_s: of the events sent in it. budget: cores that replicas may have."""
    if len(samples) < 2:
        raise ValueError("a run that nobody watched")
    starved = [_is_starved(before, now, cores, budget) for before, now in itertools.pairwise(samples)]
    first, last = samples[0], samples[-1]
    used_s, waited_s, took_s = last.used_s - first.used_s, last.waited_s - first.waited_s, last.at_s - first.at_s
    late = sum(one > LATE_PART * slo_ms / 1000 for one in late_s)
    return Machine(sum(starved) / len(starved), waited_s / max(used_s + waited_s, 1e-9), (last.busy_s - first.busy_s - used_s) / took_s,
                   (last.stolen_s - first.stolen_s) / (took_s * cores), late / max(1, len(late_s)))


def _is_starved(before: Sample, now: Sample, cores: int, budget: float) -> bool:
    used_s, waited_s, took_s = now.used_s - before.used_s, now.waited_s - before.waited_s, now.at_s - before.at_s
    others = (now.busy_s - before.busy_s - used_s) / took_s
    return waited_s > WAITED * (used_s + waited_s) and others > cores - budget
