"""Servers lost and restored under a live service: readers get each event once, or are told from where on they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.store.recovery import compare

from .clusters import archived, backed_up, ended, rolled_back, server_in, storage_copied, told
from .readers import Reader, caught_up, following, service, works
from .stress import nothing_amiss, seal_all

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.embedded import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

EPOCHS = "select array_agg(epoch order by epoch) from jobledger.epochs"
MARK = (
    "select jobledger.enqueue('noop', tenant => 't1'), pg_current_xact_id()::text as xid,"
    " clock_timestamp()::text as time"
)
REPLAYED = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"


async def read_more(readers: list[Reader], count: int) -> None:
    """Wait until each has read so much more."""
    goals = [reader.seen + count for reader in readers]
    await until(lambda: all(reader.seen >= goal for reader, goal in zip(readers, goals, strict=True)))


async def goes_on(dsn: str, readers: list[Reader], epochs: int) -> None:
    """A service started on what was restored works by itself, and readers go on from their cursors."""
    async with service(dsn) as client, following(readers, client):
        await works(client)
        await read_more(readers, 30)
    async with Client(dsn, strict=False) as client, client.store.connection() as connection:
        await seal_all(connection)
        await caught_up(readers, client, await nothing_amiss(connection))
        assert len(await connection.fetchval(EPOCHS)) == epochs
        assert await compare(connection, 0) == []


@pytest.mark.parametrize("target", ["xid", "time"])
async def test_recovery_to_the_middle_of_a_run(folder: Path, primary: Server, target: str) -> None:
    """Readers that were at a place before the middle go on; those beyond are told."""
    copy = folder / target
    beyond = [Reader(), Reader("t1")]
    async with service(primary.dsn) as client, following(beyond, client):
        await read_more(beyond, 50)
        await asyncio.to_thread(backed_up, primary, copy)
        await read_more(beyond, 50)
        before = [reader.again() for reader in beyond]
        async with client.store.connection() as connection, connection.transaction():
            middle = await connection.fetchrow(MARK)
        await read_more(beyond, 50)
    epochs = await _epochs(primary)
    await archived(primary)
    assert middle is not None
    restore = {"restore_command": f"cp {folder}/archive/%f %p", "recovery_target_action": "promote"}
    told(copy, "recovery.signal", {**restore, f"recovery_target_{target}": middle[target]})
    server = server_in(copy, max_prepared_transactions="20")
    try:
        await server.astart()
        await goes_on(server.dsn, before + beyond, epochs + 1)
        assert [reader.reasons for reader in before] == [[], []]
        assert [reader.reasons for reader in beyond] == [["beyond_end"], ["beyond_end"]]
    finally:
        await server.astop()


async def test_promotion_of_a_standby_that_had_missed_the_last_events(folder: Path, primary: Server) -> None:
    """The lost events were read by some: those readers are told; the service goes on there by itself."""
    copy = folder / "standby"
    await asyncio.to_thread(backed_up, primary, copy)
    host = (await _value(primary, "show unix_socket_directories")).strip('"')
    told(copy, "standby.signal", {"primary_conninfo": f"host={host} user=postgres", "hot_standby": "on"})
    standby = server_in(copy, max_prepared_transactions="20")
    lost = [Reader(), Reader("t1")]
    try:
        await standby.astart()
        async with service(primary.dsn) as client, following(lost, client):
            await read_more(lost, 50)
            before = [reader.again() for reader in lost]
            written = await _value(primary, "select pg_current_wal_insert_lsn()::text")
            await until(lambda: _value(standby, REPLAYED, written))
            await _value(standby, "alter system set primary_conninfo = ''")
            await _value(standby, "select pg_reload_conf()")
            await until(lambda: _value(standby, "select not exists (select from pg_stat_wal_receiver)"))
            await read_more(lost, 100)
            epochs = await _epochs(primary)
            await ended(primary)
        assert await _value(standby, "select pg_promote()")
        await goes_on(standby.dsn, before + lost, epochs + 1)
        assert [reader.reasons for reader in before] == [[], []]
        assert [reader.reasons for reader in lost] == [["beyond_end"], ["beyond_end"]]
    finally:
        await standby.astop()
        await primary.astart()


async def test_a_storage_that_is_rolled_back(folder: Path, primary: Server) -> None:
    """No id and no timeline tells it: readers beyond the end of the current epoch are told; the others go on."""
    beyond = [Reader(), Reader("t1")]
    async with service(primary.dsn) as client, following(beyond, client):
        await read_more(beyond, 50)
        before = [reader.again() for reader in beyond]
        await read_more(beyond, 20)
    await ended(primary)
    await asyncio.to_thread(storage_copied, primary, folder / "storage")
    await primary.astart()
    async with service(primary.dsn) as client, following(beyond, client):
        await works(client)
        await read_more(beyond, 200)
    epochs = await _epochs(primary)
    await ended(primary)
    await asyncio.to_thread(rolled_back, primary, folder / "storage")
    await primary.astart()
    async with Client(primary.dsn, strict=False) as client, client.store.connection() as connection:
        for reader in beyond:
            await reader.follow(client, live=False)
        assert [reader.reasons for reader in beyond] == [["beyond_end"], ["beyond_end"]]
        del connection
    await goes_on(primary.dsn, before + beyond, epochs)


async def _epochs(server: Server) -> int:
    return len(await _value(server, EPOCHS))


async def _value(server: Server, sql: str, *values: str) -> str:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(sql, *values)  # type: ignore[no-any-return]
    finally:
        await connection.close()
