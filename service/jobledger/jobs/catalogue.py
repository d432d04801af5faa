"""What the database knows of kinds, asked once a minute at most."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jobledger.jobs.door import Door
    from jobledger.store.kinds import RegisteredKind
    from jobledger.store.pool import Connection

_KNOWN_FOR_S: Final = 60.0
_UNKNOWN_FOR_S: Final = 5.0
_KINDS_LIMIT: Final = 10_000
_NAME_MOST: Final = 128


class Catalogue:
    """The registered kinds, as one client has seen them."""

    def __init__(self, door: Door) -> None:
        """Know nothing yet; what is not known, or no longer, is asked by `door`."""
        self._door = door
        self._seen: dict[str, tuple[float, RegisteredKind | None]] = {}

    def forget(self) -> None:
        """Ask again: something was registered here."""
        self._seen.clear()

    async def find(self, name: str, conn: Connection | None = None) -> RegisteredKind | None:
        """Return what is registered under a name or alias; None also where this client may not read it.

        What is to be asked is asked on `conn`, where there is one.
        """
        if len(name) > _NAME_MOST:
            # No kind has such a name. Whoever may enqueue could fill the memory with them.
            return None
        until, found = self._seen.get(name, (0.0, None))
        if time.monotonic() < until:
            return found
        found = await self._door.registered(name, conn)
        if len(self._seen) >= _KINDS_LIMIT:
            self._seen.clear()
        self._seen[name] = (time.monotonic() + (_KNOWN_FOR_S if found else _UNKNOWN_FOR_S), found)
        return found
