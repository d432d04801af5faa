"""A consumer that the database refuses tells its caller: nothing but a person can mend that, so it is not tried on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import Forbidden, InvalidArgument
from jobledger.order import checkpoints
from jobledger.order.consumer import Consumer
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.order.checkpoints import Registered

MAKE = "create role {role} login in role jobledger_worker, jobledger_every_tenant"


@pytest.fixture
async def registered(store: Store) -> Registered:
    """Give a subscription to everything."""
    await Client(store, strict=False).subscription("s").create(slices=1)
    async with store.connection() as connection:
        (one,) = await checkpoints.listed(connection, store.shard)
    return one


@pytest.fixture
async def role(store: Store) -> AsyncIterator[str]:
    """Give a role that may consume, until that is taken from it; roles are the cluster's, so it is dropped."""
    name = f"consumes_{uuid4().hex[:8]}"
    async with store.connection() as connection:
        await connection.execute(MAKE.format(role=name))
    yield name
    async with store.connection() as connection:
        await connection.execute(f"drop role {name}")


async def test_what_can_never_be_read_reaches_the_caller(store: Store, registered: Registered) -> None:
    """A filter that names nothing is refused when its reader begins, and each time again."""
    async with Consumer(store, registered._replace(kind="\0")) as consumer:
        with pytest.raises(InvalidArgument):
            async with asyncio.timeout(10):
                await consumer.next()


async def test_who_may_no_longer_consume_is_told_so(
    store: Store, database: str, registered: Registered, role: str
) -> None:
    """Also one that reads nothing, because others have all slices, and only renews its lease."""
    async with store.connection() as connection:
        await checkpoints.take(connection, store.shard, registered.id, uuid4(), "first")
    dsn = database.replace("postgres@", f"{role}@", 1)
    async with await Store.connect(dsn, pool_max=2) as own, Consumer(own, registered, renew_s=0.02) as consumer:
        waiting = asyncio.create_task(consumer.next())
        await until(lambda: consumer._inlet is None and not consumer._holding.stale)
        assert consumer.slices == []
        async with store.connection() as connection:
            await connection.execute(f"revoke jobledger_every_tenant from {role}")
        with pytest.raises(Forbidden):
            async with asyncio.timeout(10):
                await waiting
