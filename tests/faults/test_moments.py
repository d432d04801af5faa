"""Time travel after a run with enqueuers, workers, operators and kills: what was answered then is answered again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import until
from tests.faults.test_crashes import LOST, server
from tests.order.record import Record
from tests.order.stress import seal_all, whole_log

from jobledger.jobs import Client
from jobledger.lifecycle import fold
from jobledger.lifecycle.fold import state_at
from jobledger.store.recovery import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.faults.conftest import Crew, Ledger, Load

    from jobledger.embedded import Server
    from jobledger.events import Event
    from jobledger.order.log import Sealed
    from jobledger.store.pool import Store

__all__ = ["server"]

KILLS = 2
ACTS = ("cancel", "kill", "retry", "reprioritise", "move")
TENANTS = ("t0", "t1", "t2", "t3")


async def ask_on(record: Record, load: Load, chance: random.Random) -> None:
    """Ask for jobs and lists, whatever is being killed; an answer that does not come is left out."""
    while True:
        tenant = chance.choice(TENANTS)
        states = chance.sample(("ready", "scheduled", "running", "succeeded", "cancelled", "killed"), 2)
        jobs = list(load.acknowledged.values())[-60:]
        with contextlib.suppress(*LOST, TimeoutError):
            async with asyncio.timeout(5):
                await record.page(tenant=tenant, limit=20)
                await record.page(tenant=tenant, states=states, limit=5)
                await record.page(tenant=tenant, queue=chance.choice(("default", "other")), limit=5)
                await record.page(states=states, limit=10)
                if jobs:
                    await record.job(chance.choice(jobs))
        await asyncio.sleep(0.2)


async def act_on(client: Client, load: Load, chance: random.Random) -> None:
    """Act on jobs and pause tenants as operators do."""
    while True:
        jobs: list[UUID] = list(load.acknowledged.values())[-40:]
        act, tenant = chance.choice(ACTS), chance.choice(TENANTS)
        data = {"reprioritise": {"priority": chance.randint(-9, 9)}, "move": {"queue": "other"}}.get(act)
        with contextlib.suppress(*LOST, TimeoutError):
            async with asyncio.timeout(5):
                if jobs:
                    await client.act_on(act, [chance.choice(jobs)], reason="why", actor="ada", data=data)  # type: ignore[arg-type]
                if chance.random() < 0.1:
                    await client.pause("tenant", tenant, reason="why", actor="ada")
                if chance.random() < 0.3:
                    await client.resume("tenant", tenant, reason="why", actor="ada")
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_answers_of_a_run_with_kills_are_given_again(
    server: Server, over_server: Callable[[str], Awaitable[tuple[Crew, Ledger, Load, Store]]]
) -> None:
    """Each list and each job by its token, exactly; by time, what lay in the blocks up to the one that is named."""
    chance = random.Random(7)  # noqa: S311 - a test's choice
    crew, ledger, load, store = await over_server(server.dsn)
    async with store:
        await open_store(store)
        client = Client(store, strict=False)
        record = Record(client)
        hands = [crew.hire("--queue", "default", "--queue", "other"), crew.hire()]
        async with load.going_on():
            tasks = [
                asyncio.create_task(ask_on(record, load, chance)),
                asyncio.create_task(act_on(client, load, chance)),
            ]
            for kill in range(KILLS):
                asked = len(record.answers)
                await asyncio.gather(*(hand.ends_more(5) for hand in hands))
                await until(lambda more=asked + 10: len(record.answers) >= more)  # type: ignore[misc]
                if kill % 2:
                    hands[kill // 2].kill()
                    hands[kill // 2] = crew.hire("--queue", "default", "--queue", "other")
                else:
                    assert server.pid is not None
                    os.kill(server.pid, signal.SIGKILL)
                    await server.astart()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for tenant in TENANTS:
            await client.resume("tenant", tenant, reason="over", actor="ada")
        await ledger.all_over()
        await crew.dismiss()
        assert len(record.answers) > 10 * KILLS
        assert await record.differing() == []
        async with store.connection() as connection:
            await seal_all(connection)
            log = await whole_log(connection)
        await by_time(client, record, log, chance)


async def by_time(client: Client, record: Record, log: list[Sealed], chance: random.Random) -> None:
    """Compare lists as of times of the run with the pure fold of what was sealed up to the block that each names."""
    begun = min(one.sealed_at for one in log)
    times = [
        answer.as_of.at for _, answer in record.answers if answer.as_of is not None and answer.as_of.at is not None
    ]
    for at in chance.sample([at for at in times if at >= begun], 10):
        page = await client.jobs(tenant="t1", as_of=at, limit=1_000)
        everybodys = await client.jobs(as_of=at, limit=1)
        assert page.as_of is not None
        assert page.as_of.block is None
        assert everybodys.as_of is not None
        block = everybodys.as_of.block
        assert block is not None
        assert everybodys.as_of.sealed_at is not None
        assert everybodys.as_of.sealed_at <= at
        streams: dict[UUID, list[Event]] = defaultdict(list)
        for one in log:
            if one.place.block <= block and one.event.tenant == "t1" and one.event.type.startswith("job."):
                streams[one.event.stream_id].append(one.event)
        jobs = [job for stream in streams.values() if (job := fold(stream)) is not None]
        expected = {job.id: (state_at(job, at).value, job.head, job.attempt, job.queue) for job in jobs}
        assert {job.id: (job.state, job.head, job.attempt, job.queue) for job in page.jobs} == expected
