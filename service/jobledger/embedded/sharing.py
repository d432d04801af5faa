"""Several processes, one Postgres: the first starts and owns it, the others share it."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import contextmanager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from jobledger.embedded.server import Server
from jobledger.errors import JobledgerError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobledger.embedded.binaries import Binaries

_log = logging.getLogger("jobledger.embedded")

_LOOK_S: Final = 1.0


class Attachment:
    """This process's hold on a server that others may hold too.

    When the owner ends, so does Postgres, and connections of all others break; the DSN stays the same. Whoever calls
    `ensure` next starts it again and owns it from then on.
    """

    def __init__(self, server: Server) -> None:
        """Hold a server; use `attach`."""
        self._server = server

    @property
    def dsn(self) -> str:
        """The DSN of the database `jobledger`."""
        return self._server.dsn

    def dsn_for(self, database: str) -> str:
        """Return the DSN of another database of the server."""
        return self._server.dsn_for(database)

    @property
    def folder(self) -> Path:
        """The data folder, which only its owner may look into."""
        return self._server.data

    @property
    def owner(self) -> bool:
        """Whether the server runs as a child of this process."""
        return self._server.running

    @property
    def pid(self) -> int | None:
        """The process number of Postgres if this process owns it, else None."""
        return self._server.pid

    def ensure(self) -> str:
        """Start the server if it is gone, by whomever it was owned, and return the DSN. Errors as `Server.start`."""
        self._server.start_or_find()
        return self._server.dsn

    async def aensure(self) -> str:
        """As `ensure`, without blocking the event loop."""
        return await asyncio.to_thread(self.ensure)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have the server started again, inside a block, whenever it is gone: killed, or ended with its owner."""
        over = threading.Event()
        thread = threading.Thread(target=self._keep, args=(over,), name="jobledger-postgres", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._server.give_up()
            thread.join()

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_S):
            if self.owner:
                continue
            try:
                if self._server.start_or_find():
                    _log.warning("the embedded Postgres was gone, and was started again")
            except (JobledgerError, OSError) as error:
                if not over.is_set():
                    _log.warning("the embedded Postgres is gone, and could not be started (%s)", error)

    def close(self) -> None:
        """Let go; the owner thereby stops the server."""
        self._server.stop()

    async def aclose(self) -> None:
        """As `close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        """Hold."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        self.close()


def attach(
    data: str | os.PathLike[str] | None = None,
    *,
    binaries: Binaries | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    pg_bin: str | os.PathLike[str] | None = None,
    pg_user: str | None = None,
    timeout: float = 600.0,
) -> Attachment:
    """Share the server that runs on this data folder, or start and own one. Arguments and errors as `Server`.

    Blocks (0.7 s on a new folder); on an event loop use `await asyncio.to_thread(attach, data)`. Settings count only
    for the process that starts it.
    """
    server = Server(data, binaries=binaries, settings=settings, pg_bin=pg_bin, pg_user=pg_user, timeout=timeout)
    attachment = Attachment(server)
    attachment.ensure()
    return attachment
