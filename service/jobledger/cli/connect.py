"""Where a command finds its database: `--dsn` or `--data`, JOBLEDGER_DSN, DATABASE_URL, else the embedded Postgres."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobledger import embedded
from jobledger.errors import InvalidArgument
from jobledger.settings import Settings
from jobledger.store import pool
from jobledger.store.failures import place_of, translated
from jobledger.store.migrate import migrate, pending
from jobledger.store.recovery import open_store
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import asyncpg

    from jobledger.embedded import Attachment
    from jobledger.store.migration_plan import Plan


@dataclass(frozen=True, slots=True)
class Place:
    """The database of a command; `attachment` is None for a server of somebody else's."""

    dsn: str
    settings: Settings
    attachment: Attachment | None

    @property
    def is_embedded(self) -> bool:
        """Say whether it is the embedded Postgres."""
        return self.attachment is not None

    def shown(self) -> str:
        """Return the address without a password."""
        return self.dsn if self.is_embedded else place_of(self.dsn)

    def of_database(self, name: str) -> str:
        """Return the DSN of another database of the same server."""
        if self.attachment is not None:
            return self.attachment.dsn_for(name)
        from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415 - only measurements need it

        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))


def settings_of(dsn: str | None = None, data: Path | None = None, **more: Any) -> Settings:
    """Return the settings with what the command line gave before the environment.

    Who names a folder means the embedded Postgres, whatever address the environment holds.
    """
    given = {"dsn": dsn, "data": data, **more}
    chosen = {name: value for name, value in given.items() if value is not None}
    if data is not None:
        chosen.setdefault("dsn", None)
    return Settings(**chosen)


@contextmanager
def located(settings: Settings) -> Iterator[Place]:
    """Find the database, starting or sharing the embedded Postgres where no address is set; it is kept for the block.

    To be entered from the main thread, outside the event loop: Postgres ends with the thread that started it.
    """
    address = settings.address()
    if address is not None:
        yield Place(address, settings, None)
        return
    with (
        embedded.attach(settings.data, pg_bin=settings.pg_bin, pg_user=settings.pg_user) as attachment,
        attachment.kept(),
    ):
        yield Place(attachment.dsn, settings, attachment)


@asynccontextmanager
async def store_at(place: Place, **options: Any) -> AsyncIterator[pool.Store]:
    """Open a pool at the place for one command."""
    store = await pool.Store.connect(place.dsn, settings=place.settings, application_name="jobledger-cli", **options)
    async with store:
        yield store


@asynccontextmanager
async def prepared(place: Place, say: Callable[[str], None] | None = None) -> AsyncIterator[pool.Store]:
    """Open a pool at a place that is brought up first: migrated, and its live tables open."""
    await migrated(place, say or _silent)
    async with store_at(place) as store:
        await open_store(store)
        yield store


async def migrated(place: Place, say: Callable[[str], None] | None = None) -> Plan:
    """Apply what the database lacks, and return what was done. What needs a session is asked for only where it is.

    Raises:
        InvalidArgument: something is lacking, and only a transaction pooler's address is known.
    """
    async with connection_at(place.dsn) as connection:
        missing = await pending(connection)
        if not missing or not _is_pooled(place):
            return await migrate(connection, say=say)
    connection = await pool.connect(await session_dsn(place), application_name="jobledger-cli")
    try:
        return await migrate(connection, say=say)
    finally:
        await connection.close()


async def session_dsn(place: Place) -> str:
    """Return the address at which a session outlives its transactions: past the transaction pooler, where one is.

    Raises:
        InvalidArgument: no such address is known, or it leads to another database.
    """
    if not _is_pooled(place):
        return place.dsn
    if place.settings.listen_dsn is None:
        raise InvalidArgument(
            "This needs a session of its own, which a transaction pooler does not give.",
            hint="Give the server's own address: `--dsn` with JOBLEDGER_POOLER=none, or JOBLEDGER_LISTEN_DSN.",
        )
    direct = place.settings.listen_dsn.get_secret_value()
    if await _which(place.dsn, "transaction") != await _which(direct, "none"):
        raise InvalidArgument(
            "JOBLEDGER_LISTEN_DSN leads to another database than the pooler's address.",
            hint="Let both name one database, or give the server's own address and JOBLEDGER_POOLER=none.",
        )
    return direct


async def _which(dsn: str, pooler: pool.Pooler) -> tuple[str, str]:
    connection = await pool.connect(dsn, pooler=pooler, application_name="jobledger-cli")
    try:
        with translated(place_of(dsn)):
            row = await connection.fetchrow(statement("which_database"))
    finally:
        await connection.close()
    assert row is not None  # noqa: S101 - every connection is in a database
    return row["cluster"], row["database"]


def _is_pooled(place: Place) -> bool:
    return place.settings.pooler == "transaction" and not place.is_embedded


@asynccontextmanager
async def connection_at(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open one connection for one command; the environment says whether it goes through a transaction pooler."""
    connection = await pool.connect(dsn, pooler=Settings().pooler, application_name="jobledger-cli")
    try:
        yield connection
    finally:
        await connection.close()


def _silent(_: str) -> None:
    """Say nothing of each step: what brings things up by itself tells only what goes wrong."""
