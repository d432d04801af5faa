"""The hub's ear: a connection on which the database says that a block was sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.settings import Settings
from jobledger.store.failures import translated
from jobledger.store.listen import Listening
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobledger.store.pool import Connection, Store


def listen_dsn(store: Store) -> str | None:
    """Return where to listen: behind a transaction pooler only at an address past it. None: poll."""
    settings = Settings()
    if settings.notify == "off" or store.dsn is None:
        return None
    if settings.listen_dsn is not None:
        return settings.listen_dsn.get_secret_value()
    return store.dsn if store.pooler == "none" else None


def sealed_ear(dsn: str, shard: int, heard: Callable[[], None]) -> Listening:
    """Return what listens for sealed blocks; `heard` is called for each, and when the connection comes or goes."""

    async def channel(connection: Connection) -> str | None:
        with translated():
            name: str | None = await connection.fetchval(statement("order/follow_channel"), shard)
        return name

    async def still(connection: Connection, _: str) -> bool:
        # Not the channel again: asking for it takes the lock that says somebody follows.
        return bool(await connection.fetchval(statement("order/still_there")))

    return Listening(
        dsn,
        application_name="jobledger reader",
        where="hub_listen",
        channel=channel,
        still=still,
        heard=lambda _: heard(),
        stands=lambda _: heard(),
    )
