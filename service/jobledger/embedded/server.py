"""Postgres as a child of this process: started when wanted, ended with it, reached by a private socket only."""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from jobledger.embedded.account import choose_account
from jobledger.embedded.binaries import Binaries, find_binaries, reachable
from jobledger.embedded.cluster import check_version, ensure_cluster, major_of, reach, remove_stale_pid
from jobledger.embedded.door import DATABASE, PORT, Answer, clear, dsn_of, knock, socket_folder
from jobledger.embedded.folder import DataFolder, default_data_directory
from jobledger.embedded.spawn import Process, spawn
from jobledger.errors import InvalidArgument, PostgresFailed, PostgresNotFound
from jobledger.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "cluster_name": "jobledger",
        "max_connections": "200",
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "autovacuum_naptime": "15s",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": "off",
        # Statements and row values may carry what a caller must not find in a log.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)

_FIXED = frozenset(
    {
        "listen_addresses", "unix_socket_directories", "unix_socket_group", "unix_socket_permissions", "port",
        "data_directory", "config_file", "hba_file", "ident_file", "external_pid_file",
        "logging_collector", "log_destination",
    }
)  # fmt: skip
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_STEP_S = 0.005
_LONG_STEP_S = 0.1
_GRACE_S = 30.0
_LAST_S = 10.0


class Server:
    """One embedded Postgres, owned by the process that starts it; `attach` shares one between processes.

    `data` is its folder (None: the setting `data`, else `default_data_directory()`). `settings` are Postgres's own and
    go over `DEFAULTS`; those that would open it beyond its socket are refused with InvalidArgument. `timeout` (seconds)
    bounds a start, which takes long only when Postgres has much to recover. All methods block, and may be called from
    any thread, also while an event loop runs; `astart` and `astop` do not block the loop.
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | None = None,
        *,
        binaries: Binaries | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        pg_bin: str | os.PathLike[str] | None = None,
        pg_user: str | None = None,
        timeout: float = 600.0,
    ) -> None:
        """Note what to run; nothing is touched before `start`."""
        for name in settings:
            if not _NAME.fullmatch(name) or name in _FIXED:
                raise InvalidArgument(
                    "A setting of the embedded Postgres is not a setting's name, or one that is fixed.",
                    hint=f"Fixed are: {', '.join(sorted(_FIXED))}.",
                )
        root = data or Settings().data or default_data_directory()
        # Made absolute now: a change of the working folder later must not move the data.
        self._folder = DataFolder(Path(root).expanduser().resolve())
        self._binaries = binaries
        self._settings = {**DEFAULTS, **settings}
        self._pg_bin = pg_bin
        self._pg_user = pg_user
        self._timeout = timeout
        self._turn = threading.RLock()
        self._given_up = threading.Event()
        self._process: Process | None = None
        self._owner = 0
        self._socket: Path | None = None
        self._log_start = 0

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._folder.root

    @property
    def dsn(self) -> str:
        """The DSN of the database `jobledger`. Raises PostgresFailed before the first start."""
        return self.dsn_for(DATABASE)

    def dsn_for(self, database: str) -> str:
        """Return the DSN of another database of this server; `postgres` exists always."""
        if self._socket is None:
            raise PostgresFailed("The embedded Postgres was not started.", hint="Call start() first.")
        return dsn_of(self._socket, database)

    @property
    def pid(self) -> int | None:
        """The process number of Postgres, None unless this process runs it."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether Postgres runs as a child of this process (of a fork of it: no)."""
        return self._process is not None and self._owner == os.getpid() and self._process.poll() is None

    def start(self) -> str:
        """Start Postgres, on a new folder make the cluster first, and return `dsn` when it takes connections.

        Does nothing if it runs already. Raises PostgresNotFound; DataDirectoryUnusable; PostgresFailed with the end
        of the log, also when another process runs a server on the same folder.
        """
        if not self.start_or_find():
            raise PostgresFailed(
                f"Another process runs a Postgres on {self._folder.root}.",
                hint="Share it by attach(), or name another folder by --data.",
            )
        return self.dsn

    def start_or_find(self) -> bool:
        """Start Postgres and return True, or return False if another process's server answers on this folder.

        Waits for a server that is starting, recovering or ending. Errors as `start`.
        """
        with self._turn:
            return self._answers() or self._start_or_find()

    def give_up(self) -> None:
        """End a start that another thread waits for; it raises PostgresFailed there. Does nothing if there is none."""
        self._given_up.set()
        with self._turn:
            self._given_up.clear()

    def _answers(self) -> bool:
        # Not the pid alone: a server that was killed a moment ago still has one.
        return self.running and self._socket is not None and knock(self._socket) is Answer.READY

    def _start_or_find(self) -> bool:
        self._folder.claim()
        deadline = time.monotonic() + self._timeout
        while True:
            known = self._folder.safe_socket()
            if known is not None and knock(known) is Answer.READY:
                self._socket = known
                return self.running
            lock = self._folder.try_lock()
            if lock is not None:
                break
            self._go_on()
            if time.monotonic() > deadline:
                raise PostgresFailed(
                    f"The server on {self._folder.root} answers nobody, and did not end within {self._timeout:g} s.",
                    hint=f"See the end of {self._folder.log}.",
                )
            time.sleep(self._step(deadline))
        try:
            # Between the knock and the lock another may have started one: then it would hold the lock. It does not.
            self._launch(lock)
        finally:
            os.close(lock)  # Postgres keeps its own copy
        self._await_ready(deadline)
        return True

    def stop(self) -> None:
        """End Postgres: open sessions are cut, what is committed stays. Does nothing unless this process runs it.

        Fast shut-down first; after 30 s the immediate one, from which the next start recovers.
        """
        with self._turn:
            if self._process is None or self._owner != os.getpid():
                return
            process, self._process = self._process, None
            self._end(process)
            self._tidy()

    def _end(self, process: Process) -> None:
        atexit.unregister(self.stop)
        for means, patience in ((signal.SIGINT, _GRACE_S), (signal.SIGQUIT, _LAST_S)):
            process.send_signal(means)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                return
        process.kill()  # our own child, not yet waited for: the number is still its
        process.wait()

    def _tidy(self) -> None:
        """Remove a socket folder that lies among temporary files; the next start makes it again by the same name."""
        if self._socket is None or self._socket == self._folder.socket:
            return
        lock = self._folder.try_lock()  # held by nobody, unless another process starts the server just now
        if lock is not None:
            with suppress(OSError):
                clear(self._socket)
                self._socket.rmdir()
            os.close(lock)

    async def astart(self) -> str:
        """As `start`, without blocking the event loop."""
        return await asyncio.to_thread(self.start)

    async def astop(self) -> None:
        """As `stop`, without blocking the event loop."""
        await asyncio.to_thread(self.stop)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _launch(self, lock: int) -> None:
        cluster = self._folder.cluster
        account = choose_account(cluster, self._pg_user)
        found = self._binaries or self._find_binaries(major_of(cluster))
        check_version(cluster, found)
        binaries = reachable(found, account)
        ensure_cluster(self._folder, binaries, account, lock)
        remove_stale_pid(cluster)
        self._socket = socket_folder(self._folder, account)
        self._folder.record_socket(self._socket)
        self._log_start = self._folder.turn_log()
        options = {**self._settings, **self._fixed(self._socket)}
        with reach(cluster, account) as (path, kept), self._folder.open_log() as log:
            words = [binaries.program("postgres"), "-D", path]
            words += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
            if self._process is not None and self._owner == os.getpid():
                self._process.wait()  # an earlier one, dead since the lock is free, but not reaped yet
            try:
                self._process = spawn(words, account=account, output=log, kept=(lock, *kept))
            except OSError as error:
                raise PostgresFailed(f"Postgres could not be started: {error.strerror}.") from error
        self._owner = os.getpid()
        atexit.register(self.stop)

    def _find_binaries(self, major: int | None) -> Binaries:
        with suppress(PostgresNotFound):
            return find_binaries(self._pg_bin, major=major)  # data of an older version keeps its own programs
        return find_binaries(self._pg_bin)

    @staticmethod
    def _fixed(place: Path) -> dict[str, str]:
        # Quoted as Postgres takes lists: a comma or a space in the path must not part it.
        quoted = '"' + str(place).replace('"', '""') + '"'
        return {
            "listen_addresses": "",
            "unix_socket_directories": quoted,
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "logging_collector": "off",
            "log_destination": "stderr",
        }

    def _await_ready(self, deadline: float) -> None:
        process, place = self._process, self._socket
        if process is None or place is None:
            raise PostgresFailed("The embedded Postgres was stopped while it started.")
        try:
            while knock(place) is not Answer.READY:
                self._go_on()
                if process.poll() is not None:
                    raise PostgresFailed(f"Postgres ended while it started: {self._tail()}", hint=self._see_log())
                if time.monotonic() > deadline:
                    what = f"Postgres took no connection within {self._timeout:g} s"
                    raise PostgresFailed(f"{what}: {self._tail()}", hint=self._see_log())
                time.sleep(self._step(deadline))
        except BaseException:  # also an interrupt: nothing may run that the caller believes not started
            self.stop()
            raise

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise PostgresFailed("The start of the embedded Postgres was given up.")

    def _step(self, deadline: float) -> float:
        # Soon at first; rarely once it takes long, for Postgres logs each knock while it recovers.
        waited = self._timeout - (deadline - time.monotonic())
        return min(_LONG_STEP_S, max(_STEP_S, waited / 20))

    def _tail(self) -> str:
        with suppress(OSError), self._folder.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
            return " | ".join(lines[-8:]) or "it said nothing"
        return "its log cannot be read"

    def _see_log(self) -> str:
        return f"The whole log is {self._folder.log}; name another folder by --data, or set JOBLEDGER_DSN."
