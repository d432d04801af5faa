"""What the state machine stands on: its database and model, how it asks, how it picks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import pytest
from hypothesis.stateful import RuleBasedStateMachine

from jobledger.errors import JobledgerError
from jobledger.store.pool import Store
from jobledger.testing.clock import Clock

from .machine_cases import STRANGER
from .queue_model import QueueModel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from uuid import UUID

    from jobledger.store.claim import Claimer

T = TypeVar("T")


class Base(RuleBasedStateMachine):
    """One database, one connection, one clock that only the rules move."""

    def __init__(self, databases: Any, template: str) -> None:
        """Copy the template, let its clock stand an hour ahead of the server's, and begin the model there."""
        super().__init__()
        self.databases = databases
        self.name = databases.create(template)
        self.runner = asyncio.Runner()
        self.jumped = 0
        self.claimers: dict[UUID, Claimer] = {}
        self.run(self._connect())

    async def _connect(self) -> None:
        self.sql = await asyncpg.connect(self.databases.server.dsn_for(self.name), statement_cache_size=1000)
        self.store = Store(connection=self.sql)
        self.clock = Clock(self.store)
        await self.clock.install()
        now = await self.clock.stand(datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))
        opened_at = await self.sql.fetchval("select opened_at from jobledger.live")
        self.up_since = await self.sql.fetchval("select pg_postmaster_start_time()")
        self.model = QueueModel(now, opened_at)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one call to its end."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Drop the database."""
        self.run(self.sql.close())
        self.runner.close()
        self.databases.drop(self.name)

    def refused_alike(self, predicted: Callable[[], T], asked: Coroutine[Any, Any, Any]) -> tuple[T, Any] | None:
        """Return prediction and answer, or None where both refuse with the same error."""
        try:
            expected = predicted()
        except JobledgerError as error:
            fault = type(error)
        else:
            return expected, self.run(asked)
        with pytest.raises(fault) as refused:
            self.run(asked)
        assert refused.type is fault
        return None

    def same(self, predicted: Callable[[], object], asked: Coroutine[Any, Any, Any]) -> None:
        """Ask, and compare the answer with the prediction."""
        both = self.refused_alike(predicted, asked)
        assert both is None or both[0] == both[1]

    def a_job(self, number: int) -> UUID:
        """Pick a job; now and then one that does not exist."""
        ids = sorted(self.model.jobs)
        return STRANGER if number % 17 == 16 or not ids else ids[number % len(ids)]

    def a_worker(self, number: int) -> UUID:
        """Pick a worker, as a rule one that lives; now and then one that nobody started."""
        alive = [w.id for w in self.model.workers.values() if not w.stopped and w.lease_until > self.model.now]
        ids = sorted(alive if alive and number % 5 else self.model.workers)
        return STRANGER if number % 19 == 18 or not ids else ids[number % len(ids)]

    def at(self, seconds: int) -> datetime:
        """Return a moment so far from now."""
        return self.model.now + timedelta(seconds=seconds)
