"""Every connection that a role may have is taken by somebody else, for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from tests.faults.workplace import Workplace

from jobledger.errors import Unavailable
from jobledger.jobs import Client
from jobledger.observations import ConnectionLost, HeartbeatFailed, observing
from jobledger.store.pool import Store, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.conftest import Ledger

LIMIT = 12
MAKE = """
create role {role} login connection limit {limit}
  in role jobledger_producer, jobledger_worker, jobledger_operator, jobledger_reader, jobledger_every_tenant
"""
END = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = $1 and application_name <> 'greedy'"
)


@pytest.fixture
async def limited(store: Store, database: str) -> AsyncIterator[tuple[str, str]]:
    """Give the name of a role that may have so many connections, and its address of the test's own database."""
    role = f"limited_{uuid4().hex[:8]}"
    async with store.connection() as connection:
        await connection.execute(MAKE.format(role=role, limit=LIMIT))
    yield role, database.replace("postgres@", f"{role}@", 1)
    async with store.connection() as connection:
        await connection.execute(f"drop role {role}")


class Greedy:
    """Takes every connection of a role, also those that others give up."""

    def __init__(self, dsn: str) -> None:
        """Begin with none."""
        self._dsn = dsn
        self._taken: list[asyncpg.Connection[asyncpg.Record]] = []

    async def take_all(self, store: Store, role: str) -> None:
        """End everybody else's connections until all are one's own."""
        while len(self._taken) < LIMIT:
            async with store.connection() as connection:
                await connection.fetchval(END, role)
            try:
                while True:
                    settings = {"application_name": "greedy"}
                    self._taken.append(await asyncpg.connect(self._dsn, server_settings=settings))
            except asyncpg.TooManyConnectionsError:
                continue

    async def let_go(self) -> None:
        """Give all back."""
        while self._taken:
            await self._taken.pop().close()


async def test_worker_client_and_heartbeat_outlast_a_time_without_a_free_connection(
    store: Store, ledger: Ledger, limited: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told what to do, the worker waits, and both go on when connections are there again."""
    role, dsn = limited
    work = Workplace()
    greedy = Greedy(dsn)
    async with await Store.connect(dsn, pool_min=0, pool_max=2) as own:
        client = Client(own, strict=False)
        with observing(ConnectionLost, HeartbeatFailed) as seen:
            async with work.manned(dsn, settings={"pool_max": 4}):
                jobs = [(await client.enqueue("short", {"ms": 1}, max_attempts=100)).id for _ in range(5)]
                await ledger.until(lambda: work.ended() == set(jobs))
                work.gate.clear()
                jobs += [(await client.enqueue("short", {"ms": 1}, max_attempts=100)).id for _ in range(3)]
                await ledger.until(lambda: {job for word, job, _ in work.notes if word == "begun"} == set(jobs))
                await greedy.take_all(store, role)
                with pytest.raises(Unavailable) as told:
                    await client.enqueue("short", {"ms": 1})
                assert "connections" in str(told.value)
                assert "max_connections" in (told.value.hint or "")
                with pytest.raises(Unavailable, match="connections"):
                    await connect(dsn)
                with pytest.raises(Unavailable, match="connections"):
                    await Store.connect(dsn, pool_min=1)
                # Handlers end meanwhile; what they did is kept until it can be told.
                work.gate.set()
                await ledger.until(lambda: work.ended() == set(jobs))
                await ledger.until(
                    lambda: {"HeartbeatFailed", "ConnectionLost"} <= {type(one).__name__ for one in seen}
                )
                await ledger.until(lambda: {"claim", "report"} <= {getattr(one, "where", "") for one in seen})
                await greedy.let_go()
                jobs += [(await client.enqueue("short", {"ms": 1}, max_attempts=100)).id for _ in range(5)]
                await ledger.all_over()
    await ledger.agrees(jobs, work.notes)
    # What the driver's pool would say at each of its attempts, with a traceback, is left out: each call has told it.
    assert [record for record in caplog.records if record.name.startswith("asyncpg")] == []
