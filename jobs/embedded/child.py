"""Becomes a command that dies with its parent: `python -I -S child.py PARENT_PID NICENESS COMMAND...`.

Asks the kernel for SIGKILL when the parent goes, looks once whether it already went, and execs, so that the
process id is the command's own. A wrapper rather than `preexec_fn`, which is not safe beside threads.

Linux groups tasks by session for scheduling where autogroups are on, and a nice value then counts within its session only: that of the
group is set too. Every child has a session of its own.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, niceness, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    if niceness:
        os.nice(niceness)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:  # no autogroups: the nice value counts by itself
            group.write(str(niceness))
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error}")


main()
