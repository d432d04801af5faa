"""The pytest plugin: fixtures for projects that use jobledger. Loads nothing until a test asks for one of them.

A server of one's own is named by `JOBLEDGER_TEST_DSN` (its user creates and drops databases there); otherwise an
embedded Postgres runs for as long as the tests. The async fixtures need pytest-asyncio; without it use
`jobledger_database`, the address of the test's own database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    async_fixture = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from jobledger.jobs.app import App
    from jobledger.jobs.client import Client
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock
    from jobledger.testing.databases import Databases
    from jobledger.testing.draining import Drained


@pytest.fixture(scope="session")
def jobledger_databases() -> Iterator[Databases]:
    """Give the maker of databases, on one server for the whole run."""
    from jobledger.testing.databases import run_databases  # noqa: PLC0415 - only when asked for

    with run_databases() as made:
        yield made


@pytest.fixture
def jobledger_database(jobledger_databases: Databases) -> Iterator[str]:
    """Give the address of a migrated database of this test's own."""
    dsn = jobledger_databases.create()
    yield dsn
    jobledger_databases.drop(dsn)


if async_fixture is not None:

    @async_fixture
    async def jobledger_store(jobledger_database: str) -> AsyncIterator[Store]:
        """Give a store on the test's own database."""
        from jobledger.store.pool import Store  # noqa: PLC0415 - only when asked for

        async with await Store.connect(jobledger_database, pool_min=1, pool_max=10) as store:
            yield store

    @async_fixture
    async def jobledger_client(jobledger_store: Store) -> AsyncIterator[Client]:
        """Give a client on the test's own database; it takes any kind. To enqueue by an app: `app.bound(client)`."""
        from jobledger.jobs.client import Client  # noqa: PLC0415 - only when asked for

        async with Client(jobledger_store, strict=False) as client:
            yield client

    @async_fixture
    async def jobledger_clock(jobledger_store: Store) -> Clock:
        """Give the settable clock of the test's own database."""
        from jobledger.testing.clock import Clock  # noqa: PLC0415 - only when asked for

        clock = Clock(jobledger_store)
        await clock.install()
        return clock

    @async_fixture
    async def jobledger_drain(jobledger_store: Store) -> Callable[..., Awaitable[Drained]]:
        """Give `drain` for the test's own database: `await jobledger_drain(app)`."""
        from jobledger.testing.draining import drain  # noqa: PLC0415 - only when asked for

        async def drain_here(app: App, **options: Any) -> Drained:
            return await drain(app, jobledger_store, **options)

        return drain_here
