"""The few steps between fork and Postgres, run by a bare interpreter (`python -I -S -c`) that then becomes Postgres.

A program of its own rather than a `preexec_fn`: Python code between fork and exec can deadlock in a process with
threads. Arguments: the parent's pid, uid and gid to take (-1: keep), the signal to get when the parent dies, the
program and its arguments. Imports nothing of jobledger, for it runs without site-packages.
"""

import contextlib
import os
import sys


def main() -> None:
    """Drop root, ask to be told of the parent's death, become the program."""
    parent, uid, gid, death_signal = (int(word) for word in sys.argv[1:5])
    program = sys.argv[5:]
    prctl = None
    if sys.platform == "linux":
        # Before root is dropped: the interpreter may lie where the other account cannot read.
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes  # noqa: PLC0415 - only here, and 10 ms

            prctl = ctypes.CDLL(None).prctl
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if prctl is not None:
        prctl(1, death_signal, 0, 0, 0)  # PR_SET_PDEATHSIG; setuid would have cleared it
        if os.getppid() != parent:
            sys.exit("the starting process ended before Postgres began")
    os.execv(program[0], program)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
