"""What the service keeps for the workers that speak HTTP: their desks, where their claims wait, lines for reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.http.desks import Desks
from jobledger.http.waiting import Lobby
from jobledger.worker.lines import Lines

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.settings import Settings
    from jobledger.store.pool import Store


class Workroom:
    """The workers' part of one process's service."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Open nothing yet."""
        self.desks = Desks(store, window=settings.claim_tenants)
        self.lobby = Lobby(store, _listen_dsn(store, settings))
        self.sends = Lines(store)

    async def drain(self, _: web.Application) -> None:
        """Let go of the claims that wait."""
        self.lobby.drain()

    async def close(self, _: web.Application) -> None:
        """Give back the connections that were kept."""
        await self.lobby.close()
        await self.sends.close()


def _listen_dsn(store: Store, settings: Settings) -> str | None:
    """Return where to listen: behind a transaction pooler only at an address past it. None: look by the timer."""
    if settings.notify == "off":
        return None
    if settings.listen_dsn is not None:
        return settings.listen_dsn.get_secret_value()
    return store.dsn if store.pooler == "none" else None
