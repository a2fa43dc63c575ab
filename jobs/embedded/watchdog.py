"""Kills the process groups of a run whose supervisor was itself killed: `python -I -S watchdog.py`.

Reads `+PGID` and `-PGID` lines from standard input, which is a pipe from the supervisor. The pipe closes when the
supervisor ends, however it ends; whatever groups are then still named are killed. The kernel's parent-death signal
already ends the children themselves; this ends what they have started.
"""

import os
import signal
import sys


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


main()
