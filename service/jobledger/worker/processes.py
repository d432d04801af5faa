"""`--processes N`: a supervisor that runs worker processes and replaces those that end.

A child says by its exit status why it ended: `ENDED` for good, `REPLACE` when it reached a limit of its own (jobs,
memory, lost slots) and wants a fresh process in its place. Anything else is a crash, and is restarted with back-off.
The supervisor passes SIGTERM and SIGINT on; children die with it, whatever ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from jobledger.observations import WorkerReplaced, emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger("jobledger.worker")

ENDED = 0
REPLACE = 75
SUPERVISOR = "JOBLEDGER_SUPERVISOR"
_BACKOFF_S = (0.2, 30.0)
_HEALTHY_S = 60.0
_PR_SET_PDEATHSIG = 1


def supervised() -> bool:
    """Say whether this process was started by a supervisor, which replaces it when it exits with `REPLACE`."""
    return SUPERVISOR in os.environ


def die_with_supervisor() -> None:
    """Have the kernel send SIGTERM to this process when its supervisor ends, however it ends. Linux only.

    Called from the main thread at start. Does nothing in a process that no supervisor started.
    """
    parent = os.environ.get(SUPERVISOR)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have ended before the kernel knew that we care.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """Runs `processes` copies of `command` until each has ended for good or a signal comes."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        env: Mapping[str, str] | None = None,
        until_s: float | None = None,
    ) -> None:
        """Prepare. After `until_s` seconds no child is replaced any more; they end by their own limit."""
        self._command = list(command)
        self._processes = processes
        self._env = {**os.environ, **(env or {}), SUPERVISOR: str(os.getpid())}
        self._until = None if until_s is None else time.monotonic() + until_s
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self.replaced = 0
        self.crashed = 0

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that run now."""
        return [child.pid for child in self._children.values() if child.returncode is None]

    async def run(self) -> int:
        """Keep the children running; return the exit status for the command: 0, or 1 if the last end was a crash."""
        loop = asyncio.get_running_loop()
        handled = (signal.SIGTERM, signal.SIGINT)
        for number in handled:
            loop.add_signal_handler(number, self.stop, number)
        try:
            return max(await asyncio.gather(*(self._keep(place) for place in range(self._processes))))
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Pass the signal on to every child, and replace none any more. A second call passes a second signal on."""
        self._stopping.set()
        for child in self._children.values():
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(number)

    async def _keep(self, place: int) -> int:
        backoff_s = _BACKOFF_S[0]
        status = ENDED
        while not self._ending():
            began = time.monotonic()
            child = await asyncio.create_subprocess_exec(*self._command, env=self._env)
            self._children[place] = child
            if self._stopping.is_set():  # the signal came while it was being started
                child.terminate()
            status = await child.wait()
            if status == ENDED or self._ending():
                break
            if status == REPLACE:
                self.replaced += 1
                backoff_s = _BACKOFF_S[0]
                emit(WorkerReplaced("limit"))
                continue
            self.crashed += 1
            if time.monotonic() - began > _HEALTHY_S:
                backoff_s = _BACKOFF_S[0]
            _log.error("worker process %d ended with status %d; restarted in %.1f s", child.pid, status, backoff_s)
            emit(WorkerReplaced(f"exit status {status}"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._stopping.wait()
            backoff_s = min(backoff_s * 2, _BACKOFF_S[1])
        return ENDED if status in (ENDED, REPLACE, -signal.SIGTERM) else 1

    def _ending(self) -> bool:
        return self._stopping.is_set() or (self._until is not None and time.monotonic() >= self._until)
