"""A disk that is full when something is to be appended, and has space again later."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import PG_BIN
from tests.faults.conftest import Ledger
from tests.faults.disk import MIB, CannotMountError, Disk, log_moved_to, mounted_disk
from tests.faults.workplace import Workplace

from jobledger.embedded import Server
from jobledger.errors import Unavailable
from jobledger.jobs import Client
from jobledger.observations import ConnectionLost, observing
from jobledger.store.migrate import migrate
from jobledger.store.pool import Store, connect
from jobledger.store.recovery import open_store, persist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from uuid import UUID

    from tests.conftest import Databases
    from tests.faults.conftest import Crew, Load


SMALLEST = """
insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant)
select nextval('jobledger.position'), pg_current_xact_id(), e.at, e.stream_id, 1000 + g, e.type, e.shard, e.tenant
from jobledger.events as e cross join generate_series(1, $2) as g where e.stream_id = $1 and e.version = 1
"""
STREAMS = "select stream_id from jobledger.events where type = 'job.enqueued'"


@pytest.fixture
def mounted() -> Iterator[Callable[[int], Disk]]:
    """Give a maker of small disks; the test is skipped where this process may not mount."""
    with contextlib.ExitStack() as stack:

        def make(size: int) -> Disk:
            try:
                return stack.enter_context(mounted_disk(size))
            except CannotMountError as error:
                pytest.skip(str(error))

        yield make


@pytest.fixture
async def on_small_disk(
    databases: Databases, template: str, mounted: Callable[[int], Disk]
) -> AsyncIterator[tuple[str, Disk]]:
    """Give the address of a database whose log lies on a disk of 4 MiB, and the disk."""
    disk = mounted(4 * MIB)
    space = f"small_{uuid4().hex[:8]}"
    name = databases.create(template)
    dsn = databases.server.dsn_for(name)
    try:
        await log_moved_to(disk, dsn, space)
        yield dsn, disk
    finally:
        databases.drop(name)
        admin = await asyncpg.connect(databases.server.dsn_for("postgres"))
        await admin.execute(f"drop tablespace if exists {space}")
        await admin.close()


@pytest.mark.parametrize(
    ("lease_s", "fails"),
    [(60, {"report", "claim"}), pytest.param(6, {"report", "tick"}, marks=pytest.mark.slow)],
    ids=["for less than a lease", "for longer"],
)
async def test_a_full_disk_is_told_and_waited_out(
    on_small_disk: tuple[str, Disk], lease_s: int, fails: set[str]
) -> None:
    """While the log cannot grow, clients are told and workers keep what they know; with space everybody goes on.

    A heartbeat that lists a job is an event as well, so a lease does not outlive a full disk: the jobs run again.
    """
    dsn, disk = on_small_disk
    work = Workplace()
    async with await Store.connect(dsn, pool_min=1, pool_max=6) as store:
        ledger = Ledger(store)
        client = Client(store, strict=False)
        jobs: list[UUID] = []

        async def enqueue(meta: int = 0) -> None:
            args = {"ms": 1}
            handle = await client.enqueue("short", args, meta={"x": os.urandom(meta).hex()}, max_attempts=100)
            jobs.append(handle.id)

        async def fill(meta: int) -> None:
            while True:
                await enqueue(meta)

        with observing(ConnectionLost) as seen:
            async with work.manned(dsn, concurrency=5, settings={"lease_s": lease_s}):
                # None has ended before: a worker that has seen quick ones would hold more, and claim none meanwhile.
                work.gate.clear()
                for _ in range(60):
                    await enqueue()
                await ledger.until(lambda: len(work.notes) == 5)
                # Large rows first, then small ones into what those left.
                for meta in (7000, 0):
                    with pytest.raises(Unavailable, match="disk is full") as told:
                        await fill(meta)
                assert "space" in (told.value.hint or "")
                await use_up_every_page(store)
                if "tick" in fails:
                    await ledger.until(lambda: "tick" in {one.where for one in seen})
                work.gate.set()
                await ledger.until(lambda: fails <= {one.where for one in seen})
                disk.grow(64 * MIB)
                await enqueue()
                await ledger.all_over()
        await ledger.agrees(jobs, work.notes)


async def use_up_every_page(store: Store) -> None:
    """Leave no room for outcomes and claims, which are smaller than an enqueue: what is rolled back leaves none either.

    A page may be missing of the log or of an index, where the keys of some jobs go and not those of others: so each.
    """
    async with store.connection() as connection:

        async def fits(stream: UUID, many: int = 1) -> bool:
            undone = connection.transaction()
            await undone.start()
            try:
                await connection.execute(SMALLEST, stream, many)
            except asyncpg.DiskFullError:
                return False
            finally:
                await undone.rollback()
            return True

        streams = [row["stream_id"] for row in await connection.fetch(STREAMS)]
        assert not await fits(streams[0], 100_000)
        while any([await fits(stream) for stream in streams]):
            pass


async def use_up_the_wal(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Begin one file of the WAL after the other, until the server cannot."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        while True:
            await connection.execute("select pg_logical_emit_message(false, '', 'x'), pg_switch_wal()")
    connection.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("unlogged", [False, True], ids=["logged", "unlogged"])
async def test_a_server_without_space_for_its_wal_loses_nothing_acknowledged(
    mounted: Callable[[int], Disk],
    over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]],
    unlogged: bool,
) -> None:
    """Postgres stops itself when it cannot write its WAL; started again with space, it has every acknowledged job."""
    size = 400 * MIB
    disk = mounted(size)
    settings = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "32MB"}
    server = Server(disk.place / "pg", settings=settings, pg_bin=PG_BIN)
    try:
        connection = await connect(await server.astart())
        await migrate(connection)
        await connection.close()
        crew, ledger, load, store = await over_server(server.dsn)
        async with store:
            await open_store(store)
            await persist(store, unlogged=unlogged)
            hand = crew.hire()
            async with load.going_on(ms=20):
                await hand.ends_more(20)
                # Who connects later would meet the full disk as well.
                connection = await asyncpg.connect(server.dsn)
                disk.fill()
                await use_up_the_wal(connection)
                await ledger.until(lambda: not server.running)
                disk.grow(size)
                await server.astart()
                await hand.ends_more(20)
            await ledger.all_over()
            assert hand.process.poll() is None
            await crew.dismiss()
            await ledger.agrees(load.acknowledged.values(), crew.notes())
    finally:
        await server.astop()
