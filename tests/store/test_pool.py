"""Where connections come from: the store's own pool, the caller's, or one connection; also behind a pooler."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest

from jobledger.errors import InvalidArgument
from jobledger.settings import Settings
from jobledger.store.enqueue import NewJob, enqueue
from jobledger.store.kinds import StatedKind, register_kinds, registered_kind
from jobledger.store.pool import Store, connect
from jobledger.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def test_a_store_closes_its_own_pool_and_only_that(database: str) -> None:
    """The caller's pool goes on after the store is closed; closing twice does nothing."""
    own = await Store.connect(database, pool_min=1, pool_max=2)
    await own.close()
    await own.close()
    with pytest.raises(asyncpg.InterfaceError):
        await own.pool.acquire()
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:
        async with Store(pool) as theirs:
            assert theirs.pool is pool
        assert await pool.fetchval("select 1") == 1


async def test_a_store_closes_although_its_lines_are_dead(database: str) -> None:
    """A server that vanished without a word answers no goodbye: neither a pool nor a connection waits for it."""
    with Proxy(database) as proxy:
        store = await Store.connect(proxy.dsn, pool_min=1, pool_max=1)
        single = await connect(proxy.dsn)
        proxy.mute()
        async with asyncio.timeout(20):
            await asyncio.gather(store.close(), single.close())
        assert single.is_closed()


async def _in_transaction(store: Store) -> None:
    async with store.transaction() as connection:
        await connection.fetchval("select 'asked'")


async def _repeated(store: Store) -> None:
    await store.repeated(lambda connection: connection.fetchval("select 'asked'"))


async def _looked_up(store: Store) -> None:
    async with store.connection() as connection:
        await registered_kind(connection, 0, "asked")


async def _registered(store: Store) -> None:
    async with store.connection() as connection:
        await register_kinds(connection, 0, [StatedKind("asked", 1, {}, (), {})])


@pytest.mark.parametrize(
    ("needle", "ask"),
    [
        ("select 'asked'", _in_transaction),
        ("select 'asked'", _repeated),
        ("from jobledger.kinds", _looked_up),
        ("jobledger.register_kind(", _registered),
    ],
)
async def test_who_is_given_up_in_a_transaction_is_let_go_although_the_line_is_dead(
    database: str, needle: str, ask: Callable[[Store], Coroutine[None, None, None]]
) -> None:
    """Nobody answers a rollback there, and nobody waits for it: the server rolls back what has lost its line."""
    with Proxy(database) as proxy:
        async with await Store.connect(proxy.dsn, pool_min=1, pool_max=1) as store:
            trap = proxy.trap(needle, before=True)
            asking = asyncio.create_task(ask(store))
            await asyncio.to_thread(trap.wait)
            trap.mute()
            asking.cancel()
            await asyncio.wait([asking], timeout=20)
            assert asking.cancelled()
            await ask(store)


async def test_a_line_over_a_network_is_looked_after_by_the_system(database: str) -> None:
    """A server's machine that is gone without a word is noticed also by who waits for a long statement."""
    with Proxy(database) as proxy:
        async with await Store.connect(proxy.dsn, pool_min=1, pool_max=1) as store, store.connection() as connection:
            line = cast("Any", connection)._con._transport.get_extra_info("socket")
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20


async def test_a_store_around_a_connection_works_inside_its_transaction(database: str) -> None:
    """What is done is part of the caller's transaction, and goes with it."""
    connection = await asyncpg.connect(database)
    try:
        store = Store(connection=connection)
        transaction = connection.transaction()
        await transaction.start()

        async def work(same: Any) -> None:
            assert same is connection
            await enqueue(same, NewJob("a"))

        await store.repeated(work)
        async with store.transaction() as same:
            await enqueue(same, NewJob("b"))
        await transaction.rollback()
        assert await connection.fetchval("select count(*) from jobledger.jobs") == 0
        with pytest.raises(InvalidArgument):
            _ = store.pool
    finally:
        await connection.close()


async def test_a_collision_inside_the_callers_transaction_is_the_callers(database: str) -> None:
    """The whole of their transaction has failed; only they can begin it anew."""
    connection = await asyncpg.connect(database)
    calls = 0

    async def work(_: object) -> None:
        nonlocal calls
        calls += 1
        raise asyncpg.SerializationError("again")

    try:
        async with connection.transaction():
            with pytest.raises(asyncpg.SerializationError):
                await Store(connection=connection).repeated(work)
    finally:
        await connection.close()
    assert calls == 1


async def test_behind_a_transaction_pooler_no_session_state_is_used(database: str) -> None:
    """No statement stays prepared, nothing but the application's name is set, and nothing is reset."""
    async with await Store.connect(database, pooler="transaction", pool_min=1, pool_max=1) as store:
        for _ in range(2):
            async with store.connection() as connection:
                await enqueue(connection, NewJob("a", {"x": 1}))
                assert await connection.fetchval("select count(*) from pg_prepared_statements where name <> ''") == 0
                assert await connection.fetchval("select current_setting('application_name')") == "jobledger"
                changed = await connection.fetch("select name from pg_settings where source = 'client'")
                assert "jit" not in {row["name"] for row in changed}
                await connection.execute("set statement_timeout = '7s'")
        async with store.connection() as connection:
            assert await connection.fetchval("show statement_timeout") == "7s"


async def test_a_direct_pool_leaves_no_session_state_behind(database: str) -> None:
    """What a borrower has set is gone for the next one, and short statements are not compiled."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as store:
        async with store.connection() as connection:
            await connection.execute("set statement_timeout = '7s'")
        async with store.connection() as connection:
            assert await connection.fetchval("show statement_timeout") == "0"
            assert await connection.fetchval("show jit") == "off"


async def test_who_is_given_up_as_it_gives_back_leaves_no_session_state_behind_later(database: str) -> None:
    """A connection that only the package used is given back without a reset; the caller's next one is not."""
    async with await Store.connect(database, pool_min=1, pool_max=1) as store:

        async def used() -> None:
            connection = await store.borrow()
            returned = asyncio.current_task()
            assert returned is not None
            asyncio.get_running_loop().call_soon(returned.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await store.give_back(connection, ours=True)
            async with store.pool.acquire() as mine:
                await mine.execute("set search_path = pg_catalog")

        await asyncio.create_task(used())
        async with store.connection() as connection:
            assert await connection.fetchval("show search_path") != "pg_catalog"


async def test_settings_give_what_the_call_does_not(database: str) -> None:
    """Address, shard, pooler and sizes; what is given in the call comes first."""
    settings = Settings(dsn=database, shard=3, pooler="transaction", pool_min=1, pool_max=2)
    async with await Store.connect(settings=settings) as store:
        assert (store.shard, store.pooler, store.pool.get_max_size(), store.dsn) == (3, "transaction", 2, database)
        assert store.where is not None
        assert store.where.endswith(database.partition("?")[0].rpartition("/")[2])
    async with await Store.connect(settings=settings, shard=0, pooler="none", pool_max=1) as store:
        assert (store.shard, store.pooler, store.pool.get_max_size()) == (0, "none", 1)


async def test_a_store_without_an_address_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one of nothing, or of two things, is refused."""
    monkeypatch.delenv("JOBLEDGER_DSN", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(InvalidArgument, match="JOBLEDGER_DSN"):
        await Store.connect()
    with pytest.raises(InvalidArgument):
        Store()


async def test_a_single_connection_may_name_another_database(database: str) -> None:
    """Of the same server, by the same address."""
    connection = await connect(database, database="postgres")
    try:
        assert await connection.fetchval("select current_database()") == "postgres"
    finally:
        await connection.close()
