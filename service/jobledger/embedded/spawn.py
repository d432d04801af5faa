"""Starting child processes that end with this one, whatever thread asks for them."""

from __future__ import annotations

import functools
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jobledger.errors import PostgresFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobledger.embedded.account import Account

Process = subprocess.Popen[bytes]

# Postgres gets nothing else of the caller's environment: it may hold secrets, and /proc shows them to the account.
_KEPT = ("PATH", "LD_LIBRARY_PATH")


def spawn(
    program: Sequence[str],
    *,
    account: Account | None,
    output: IO[bytes],
    kept: tuple[int, ...],
    stdin: int = subprocess.DEVNULL,
) -> Process:
    """Start `program` in a session of its own, as `account` (None: as this process).

    On Linux it gets SIGINT when this process dies. It inherits the open files `kept`; a lock on one is thereby held
    for as long as any process of it lives. Raises OSError when it cannot be started.
    """
    start = functools.partial(_spawn, program, account=account, output=output, kept=kept, stdin=stdin)
    # The parent-death signal comes when the spawning *thread* ends: only one that outlives all others may spawn.
    if threading.current_thread() is threading.main_thread():
        return start()
    return _keeper().run(start)


def _spawn(
    program: Sequence[str], *, account: Account | None, output: IO[bytes], kept: tuple[int, ...], stdin: int
) -> Process:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}
    words = [*_launcher(account), *program]
    return subprocess.Popen(  # noqa: S603 - the words are ours
        words,
        cwd="/",
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=kept,
        start_new_session=True,
        umask=0o077,
    )


def _launcher(account: Account | None) -> list[str]:
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    death_signal = int(signal.SIGINT)
    return [_interpreter(), "-I", "-S", "-c", _launch_source(), str(os.getpid()), str(uid), str(gid), str(death_signal)]


@functools.cache
def _interpreter() -> str:
    # An application server that embeds Python names itself as sys.executable.
    found = [Path(sys.executable), Path(sys.base_prefix) / "bin" / "python3", Path(shutil.which("python3") or "")]
    for path in found:
        if path.name.startswith(("python", "pypy")) and path.is_file():
            return str(path)
    raise PostgresFailed(
        "No Python interpreter was found to start Postgres by.", hint="Put `python3` on PATH, or set JOBLEDGER_DSN."
    )


@functools.cache
def _launch_source() -> str:
    return (files("jobledger.embedded") / "launch.py").read_text("utf-8")


class _Keeper:
    """One thread that lives as long as the process, and spawns for the threads that do not."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[Callable[[], Process], Future[Process]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="jobledger-spawn", daemon=True).start()

    def run(self, start: Callable[[], Process]) -> Process:
        answer: Future[Process] = Future()
        self._wanted.put((start, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            start, answer = self._wanted.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asked
                answer.set_exception(error)


_keepers: dict[int, _Keeper] = {}
_keepers_lock = threading.Lock()


def _keeper() -> _Keeper:
    with _keepers_lock:
        # By pid: a forked child has the object, but not its thread.
        keeper = _keepers.get(os.getpid())
        if keeper is None:
            keeper = _keepers[os.getpid()] = _Keeper()
        return keeper
