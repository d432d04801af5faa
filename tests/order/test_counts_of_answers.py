"""Counts by token, asked again, are what the live answers said while writers were at it and some were killed."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest
from tests.contract.conftest import Desk

from jobledger.errors import JobledgerError
from jobledger.jobs.client import Client
from jobledger.order.projections import built_in
from jobledger.order.runner import Runner

from .stress import seal_all

if TYPE_CHECKING:
    from jobledger.store.pool import Store
    from jobledger.store.tenants import TenantStatus

SECONDS = 6.0
TENANTS = ("acme", "bob")
LATER = "select jobledger.enqueue('noop', tenant => $1, run_at => jobledger.now() + $2 * interval '1 second')"
OF_WRITERS = "select pid from pg_stat_activity where application_name = 'writer' and datname = current_database()"


async def _write(store: Store, database: str, chance: random.Random, until: float) -> None:
    """Enqueue, claim, report and move on one connection after another: each is ended sooner or later."""
    while asyncio.get_running_loop().time() < until:
        connection = await asyncpg.connect(database, server_settings={"application_name": "writer"})
        with suppress(
            asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, JobledgerError
        ):
            desk = await Desk(store, connection).start(lease_s=3000)
            while asyncio.get_running_loop().time() < until:
                async with connection.transaction():
                    for _ in range(chance.randint(1, 4)):
                        await connection.fetchval(LATER, chance.choice(TENANTS), chance.choice([0, 0, 0.05, 0.3, 90]))
                    await asyncio.sleep(chance.choice([0, 0, 0.02, 0.2]))
                jobs = await desk.claim(5)
                await desk.report(jobs[:2])
                await desk.report(jobs[2:3], "failed", {"error": {"type": "E", "message": "m"}, "retry_in": 0.1})
                await desk.report(jobs[3:4], "snoozed", {"run_in": 0.2})
                await desk.act(chance.choice(["move", "kill", "cancel"]), [job.id for job in jobs[4:]], queue="mail")
                await desk.tick()
        connection.terminate()


@pytest.mark.slow
async def test_live_answers_are_counted_again_exactly(store: Store, database: str) -> None:
    """Every recorded answer of two tenants, whatever was under way in it, is the same by its token afterwards."""
    chance = random.Random(5)  # noqa: S311 - no secret
    until = asyncio.get_running_loop().time() + SECONDS
    client = Client(store)
    answers: list[TenantStatus] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(_write(store, database, chance, until))
        while asyncio.get_running_loop().time() < until or len(answers) <= 50:
            found = await client.tenant(chance.choice(TENANTS), token=True)
            assert found.open.source == "live"
            answers.append(found)
            async with store.connection() as connection:
                if chance.random() < 0.4:
                    await seal_all(connection)
                if chance.random() < 0.02:
                    for row in await connection.fetch(OF_WRITERS):
                        await connection.fetchval("select pg_terminate_backend($1)", row["pid"])
            if chance.random() < 0.05:
                await Runner(store, built_in()).settle()
    assert len(answers) > 50
    for _ in range(2):
        for found in answers[:: max(1, len(answers) // 150)]:
            assert found.token is not None
            past = await client.counts(found.token, tenant=found.tenant)
            counts = {(c.state, c.queue): c.jobs for c in past.counts if c.state not in {"succeeded", "failed"}}
            counts = {key: jobs for key, jobs in counts.items() if key[0] not in {"killed", "cancelled"}}
            assert counts == {(c.state, c.queue): c.jobs for c in found.open.counts}
        async with store.connection() as connection:
            await seal_all(connection)
        await Runner(store, built_in()).settle()
