"""A database in a chosen state, and the hot path on one session of it, recorded."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import asyncpg
import pytest
from tests.plans.hot import HotPath
from tests.plans.states import STATES, Filler, attach, left_alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from tests.conftest import Databases


class InState(Protocol):
    """Give the hot path on a database in a state."""

    def __call__(
        self, state: str, *, partitions: int = 1, ready: int = 3000, finished: int = 1500, warm: bool = True
    ) -> AbstractAsyncContextManager[HotPath]:
        """`warm`: the session has used its plans while the tables were empty, and keeps them."""


@pytest.fixture
def in_state(databases: Databases, template: str) -> InState:
    """Give the maker of databases in a state."""

    @asynccontextmanager
    async def made(
        state: str, *, partitions: int = 1, ready: int = 3000, finished: int = 1500, warm: bool = True
    ) -> AsyncIterator[HotPath]:
        name = databases.create(template)
        beside = await asyncpg.connect(databases.server.dsn_for(name))
        session = await asyncpg.connect(databases.server.dsn_for(name))
        try:
            # Unlogged, so that the WAL is what the log itself costs.
            await beside.fetchval("select jobledger.persist(0::smallint, true, 'plans')")
            await attach(beside, partitions)
            await left_alone(beside)
            path = await HotPath(session).start()
            if warm:
                await path.warm()
            await STATES[state](Filler(beside, ready, finished))
            yield path
        finally:
            await session.close()
            await beside.close()
            databases.drop(name)

    return made
