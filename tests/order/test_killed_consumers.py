"""Consumers of one subscription that are killed under load."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from jobledger import Client
from jobledger.order.checkpoints import slice_of

from .stress import sealing, whole_log

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.order.cursor import Place
    from jobledger.store.pool import Store

    Fact = tuple[UUID, int]

ROOT = Path(__file__).resolve().parents[2]
SLICES = 4
KILLS = 4


def _consumer(dsn: str) -> subprocess.Popen[bytes]:
    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-m", "tests.order.consumers", dsn, "stress"]
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": places})  # noqa: S603 - our own words


async def _load(client: Client, enough: asyncio.Event) -> None:
    """Write jobs and change them, so that each has several events in several blocks."""
    draw = random.Random(7)  # noqa: S311 - a test's choice
    jobs: list[UUID] = []
    while not enough.is_set():
        await asyncio.sleep(0.15)
        jobs += [one.id for one in await client.enqueue_many([await client.call("noop") for _ in range(4)])]
        for job in draw.sample(jobs, min(8, len(jobs))):
            await client.reprioritise(job, priority=draw.randint(-9, 9), reason="r")


async def _looked(store: Store) -> tuple[set[int], dict[int, tuple[int, int]]]:
    """Return in one snapshot what was written down so far, and the checkpoint of each slice."""
    async with store.connection() as sql, sql.transaction(isolation="repeatable_read"):
        written = await sql.fetch("select n from consumed")
        places = await sql.fetch("select slice, block, position from jobledger.subscription_slices")
    return {row["n"] for row in written}, {row["slice"]: (row["block"], row["position"]) for row in places}


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_consumers_that_are_killed_lose_and_invert_nothing(database: str, store: Store) -> None:
    """Every event comes, each job's in order, and none again that lay below a checkpoint when it was looked at."""
    async with Client(store, strict=False) as client:
        subscription = client.subscription("stress")
        await subscription.create(slices=SLICES, lease_s=5)
        async with store.connection() as sql:
            await sql.execute("create table consumed (n bigserial primary key, stream uuid, version int)")
        sealer = await asyncpg.connect(database)
        stop = asyncio.Event()
        seals = asyncio.create_task(sealing(sealer, stop))
        running = [_consumer(database) for _ in range(SLICES)]
        looked = []
        try:
            enough = asyncio.Event()
            writing = asyncio.create_task(_load(client, enough))
            now = await _looked(store)
            for _ in range(KILLS):
                before = now
                async with asyncio.timeout(60):
                    while len(now[0]) < len(before[0]) + 40 or now[1] == before[1]:
                        await asyncio.sleep(0.05)
                        now = await _looked(store)
                running[0].kill()
                running.pop(0).wait()
                looked.append(await _looked(store))
                running.append(_consumer(database))
            enough.set()
            await writing
            stop.set()
            await seals
            async with asyncio.timeout(120):
                while (await subscription.status()).lag.events:  # noqa: ASYNC110 - the database tells nobody
                    await asyncio.sleep(0.1)
        finally:
            for one in running:
                one.kill()
                one.wait()
            await sealer.close()
        async with store.connection() as sql:
            places = {(one.event.stream_id, one.event.version): one.place for one in await whole_log(sql)}
            given = [
                tuple(row.values()) for row in await sql.fetch("select n, stream, version from consumed order by n")
            ]
    assert {(stream, version) for _, stream, version in given} == set(places)
    _check(places, given, looked)


def _check(
    places: dict[Fact, Place],
    given: list[tuple[int, UUID, int]],
    looked: list[tuple[set[int], dict[int, tuple[int, int]]]],
) -> None:
    reached: dict[UUID, int] = defaultdict(int)
    for _, stream, version in given:
        # What comes again begins anew at an earlier one; nothing is passed over on the way.
        assert version <= reached[stream] + 1, (stream, version)
        reached[stream] = max(reached[stream], version)
    for before, checkpoints in looked:
        for number, stream, version in given:
            place = places[stream, version]
            if number not in before:
                assert (place.block, place.position) > checkpoints[slice_of(stream, SLICES)]
