"""What the host took meanwhile: the share of the machine's time in which a core was wanted and not given (steal, /proc/stat).

A virtual machine that shares its host cannot keep others away. A figure says how much was taken while it was measured, and a run of which
more than DISTURBED was taken says nothing about what is measured: it is made again, once the host has settled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.report import progress

DISTURBED = 0.03
TRIES = 3
"""Of a run while the host disturbs it."""
PROBE_S = 3.0
BETWEEN_PROBES_S = 10.0
SPIN = f"import time\nend = time.monotonic() + {PROBE_S}\nwhile time.monotonic() < end: pass"
IDLE, IOWAIT, STEAL = 3, 4, 7  # places in `ticks`; what follows them is counted in the first two


Found = TypeVar("Found")


class Stolen:
    """From its making on."""

    def __init__(self) -> None:
        self._before = _read()

    @property
    def share(self) -> float:
        """0 to 1, of all cores' time so far."""
        before, now = self._before, _read()
        passed = sum(now) - sum(before)
        return (now[STEAL] - before[STEAL]) / passed if passed else 0.0


def settle(limit_s: float) -> None:
    """Returns once the host gives all cores to whoever wants them, or after limit_s. Only a core that is wanted can be stolen: each probe
    wants all of them."""
    until = time.monotonic() + limit_s
    while (share := _probe()) > DISTURBED and time.monotonic() < until:
        progress(f"the host takes {share:.0%} of the cores' time; waiting, {until - time.monotonic():.0f} s at most")
        time.sleep(BETWEEN_PROBES_S)


def undisturbed(run: Callable[[int], tuple[Found, float]], settle_s: float, settle_first_s: float = 0.0, tries: int = TRIES) -> Found:
    """What a run found in which the host left the cores to it, of so many tries, else the last one. run: gets the number of the try, from 0; answers
    what it found and what was stolen meanwhile. settle_s: waited at most for the host before another try, settle_first_s before the first."""
    for attempt in range(tries):
        settle(settle_s if attempt else settle_first_s)
        found, stolen = run(attempt)
        if stolen <= DISTURBED:
            break
    return found


def _probe() -> float:
    taken = Stolen()
    for spinning in [subprocess.Popen([sys.executable, "-S", "-c", SPIN]) for _ in range(os.cpu_count() or 1)]:
        spinning.wait()
    return taken.share


def ticks(stat: str) -> list[int]:
    """Of all cores, from /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(count) for count in stat.split("\n", 1)[0].split()[1 : STEAL + 2]]


def _read() -> list[int]:
    return ticks(Path("/proc/stat").read_text(encoding="ascii"))
