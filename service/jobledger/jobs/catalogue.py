"""What the database knows of kinds, asked once a minute at most."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from jobledger.errors import Forbidden
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Connection

_KNOWN_FOR_S: Final = 60.0
_UNKNOWN_FOR_S: Final = 5.0
_KINDS_LIMIT: Final = 10_000


class RegisteredKind(NamedTuple):
    """A kind as a worker registered it; the schema is null for one that was never described."""

    name: str
    version: int
    schema: Mapping[str, Any] | None


class Catalogue:
    """The registered kinds, as one client has seen them."""

    def __init__(self, shard: int) -> None:
        """Know nothing yet."""
        self._shard = shard
        self._seen: dict[str, tuple[float, RegisteredKind | None]] = {}

    def forget(self) -> None:
        """Ask again: something was registered here."""
        self._seen.clear()

    def known(self, name: str) -> tuple[bool, RegisteredKind | None]:
        """Return what `find` would answer without asking the database, after whether it would."""
        until, found = self._seen.get(name, (0.0, None))
        return time.monotonic() < until, found

    async def find(self, conn: Connection, name: str) -> RegisteredKind | None:
        """Return what is registered under a name or alias; None also where this role may not read it."""
        fresh, found = self.known(name)
        if fresh:
            return found
        found = await self._ask(conn, name)
        if len(self._seen) >= _KINDS_LIMIT:
            self._seen.clear()
        self._seen[name] = (time.monotonic() + (_KNOWN_FOR_S if found else _UNKNOWN_FOR_S), found)
        return found

    async def _ask(self, conn: Connection, name: str) -> RegisteredKind | None:
        try:
            # A savepoint where the caller's transaction is open: being refused must not end it.
            with translated():
                async with conn.transaction():
                    row = await conn.fetchrow(statement("jobs/registered_kind"), self._shard, name)
        except Forbidden:
            return None
        if row is None:
            return None
        return RegisteredKind(row["name"], row["version"], orjson.loads(row["schema"]) if row["schema"] else None)
