"""What the host took meanwhile: the share of the machine's time in which a core was wanted and not given (steal, /proc/stat).

A virtual machine that shares its host cannot keep others away. A figure says how much was taken while it was measured, and a run of which
more than DISTURBED was taken says nothing about what is measured: it is made again.
"""

from __future__ import annotations

from pathlib import Path

DISTURBED = 0.03
STEAL = 7  # user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in the first two


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


def _read() -> list[int]:
    first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return [int(ticks) for ticks in first[1 : STEAL + 2]]
