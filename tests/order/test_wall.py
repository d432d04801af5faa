"""The wall in the order of the log: what a tenant sees beside a silent neighbour and beside a busy one is the same."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobledger import Client
from jobledger.errors import BadCursor
from jobledger.order import own
from jobledger.store.workers import heartbeat, start_worker

from .stress import seal_all

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Databases

    from jobledger.store.pool import Connection

CLAIM = "select * from jobledger.claim_job(0::smallint, $1, $2, $3, array['noop'])"
REPORT = "select * from jobledger.report(0::smallint, $1, array[$2::uuid], array[2], array['succeeded'], '{null}')"
STEPS = 6


class _Town:
    """A database in which `acme` always does the same, and its neighbour either nothing or a lot."""

    def __init__(self, client: Client, connection: Connection, busy: bool) -> None:
        self.client = client
        self.connection = connection
        self.busy = busy
        self.calls = self.beats = 0
        self.others: list[UUID] = []
        self.names: dict[str, str] = {}

    async def live(self) -> None:
        """Let acme enqueue, run, fail to report, pause, cancel; between all of it comes whatever the neighbour does."""
        self.worker = (await start_worker(self.connection, 0, kinds=["noop"])).worker
        self.names[str(self.worker)] = "worker"
        jobs = []
        for _ in range(STEPS):
            await self._neighbour()
            jobs.append((await self.client.enqueue("noop", tenant="acme", owner="ada")).id)
        self.names |= {str(job): f"job {at}" for at, job in enumerate(jobs)}
        for job in jobs[:3]:
            await self._neighbour()
            await self._claim(job)
        for _ in range(2):
            await self._beat(jobs[:3])
        await self._neighbour()
        await self.client.kill(jobs[1], reason="r")
        for job in jobs[:2]:
            await self.connection.fetch(REPORT, self.worker, job)
            await self._neighbour()
        await self.client.cancel(jobs[4], reason="r")
        await self.client.pause("tenant", "acme", reason="r")
        await self._neighbour()

    async def seen(self) -> tuple[list[Any], list[str]]:
        """Return what the faces show acme of all this, without the moments, and the cursors that come along."""
        feed = self.client.events(tenant="acme", live=False)
        shown: list[Any] = []
        cursors: list[str] = []
        async for event in feed:
            document = event.model_dump(exclude={"shard", "position", "at"})
            if event.type.startswith("worker."):
                # A worker's stream counts the worker's own life.
                document.pop("version")
            shown.append(document)
            cursors.append(feed.cursor or "")
        page = await self.client.jobs(tenant="acme", limit=STEPS + 1)
        shown += [(job.state, job.queue, job.owner, job.attempt, job.id) for job in page.jobs]
        shown += [page.next, page.looked_at]
        return self._named(shown), cursors

    async def _neighbour(self) -> None:
        if self.busy:
            calls = [await self.client.call("noop", tenant="other") for _ in range(20)]
            self.others += [job.id for job in await self.client.enqueue_many(calls)]
            await seal_all(self.connection)
            await self._claim(self.others[-1])
            await self.client.cancel(self.others[-2], reason="r")
            await self.client.pause("tenant", f"other-{len(self.others)}", reason="r")
        await seal_all(self.connection)

    async def _claim(self, job: UUID) -> None:
        self.calls += 1
        await self.connection.fetch(CLAIM, self.worker, self.calls, job)

    async def _beat(self, jobs: list[UUID]) -> None:
        self.beats += 1
        held = [*self.others, *jobs]
        await heartbeat(self.connection, 0, self.worker, beat=self.beats, settled=self.calls, held=held)
        await self._neighbour()

    def _named(self, value: Any) -> Any:
        """Put names in the place of ids, which differ from one database to the next."""
        if isinstance(value, dict):
            return {key: self._named(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._named(one) for one in value]
        return self.names.get(str(value), value)


async def _town(databases: Databases, template: str, *, busy: bool) -> tuple[list[Any], list[str]]:
    name = databases.create(template)
    dsn = databases.server.dsn_for(name)
    async with Client(dsn, strict=False) as client, client.store.connection() as connection:
        town = _Town(client, connection, busy)
        await town.live()
        found = await town.seen()
        with pytest.raises(BadCursor):
            await anext(client.events(tenant="other", after=found[1][0], live=False))
    databases.drop(name)
    return found


@pytest.mark.parametrize("way", ["the blocks", "the own streams"])
async def test_a_tenant_sees_the_same_beside_whomever(
    databases: Databases, template: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Its feed, its list and the form of its cursors, read either way; nothing of it counts what others did."""

    async def pays(*_: object) -> bool:
        return way == "the own streams"

    monkeypatch.setattr(own.OwnStreams, "_pays", pays)
    silent, texts = await _town(databases, template, busy=False)
    busy, other_texts = await _town(databases, template, busy=True)
    assert {one["type"] for one in silent if isinstance(one, dict)} >= {"worker.heartbeat", "worker.report_rejected"}
    assert busy == silent
    # Equal in number and length, all different, and what one has in common with the next is what chance gives.
    assert [len(text) for text in texts] == [len(text) for text in other_texts]
    for cursors in (texts, other_texts):
        assert len(set(cursors)) == len(cursors)
        same = [
            sum(one == other for one, other in zip(_bytes(text), _bytes(following), strict=True))
            for text, following in pairwise(cursors)
        ]
        assert max(same) <= 6


def _bytes(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor[1:] + "=" * (-len(cursor[1:]) % 4))


async def test_who_is_bound_to_a_tenant_gets_no_place(databases: Databases, template: str) -> None:
    """No function tells such a role where the log ends, whether anybody follows it, or how much others have."""
    name = databases.create(template)
    connection = await asyncpg.connect(databases.server.dsn_for(name))
    role = f"bound_{name}"
    await connection.execute(f"create role {role} in role jobledger_worker, jobledger_operator")
    try:
        await connection.execute("select pg_advisory_lock_shared(hashtext('jobledger.follow'), 0)")
        await connection.execute(f"set role {role}")
        assert await connection.fetchval("select jobledger.follow_channel()") is None
        assert await connection.fetchval("select jobledger.tell_sealed()") is None
        for call in ("own_streams(0::smallint, 'a', 9)", "read_own(0::smallint, 0, 0, 0, 9, 'a')", "log_end()"):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.fetch(f"select * from jobledger.{call}")  # noqa: S608 - what stands above
            assert refused.value.sqlstate == "JL400"
    finally:
        await connection.execute("reset role")
        await connection.execute(f"drop role {role}")
        await connection.close()
        databases.drop(name)
