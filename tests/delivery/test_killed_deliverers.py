"""Deliverers of webhooks that are killed while they send."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.delivery.endpoint import endpoint
from tests.faults.conftest import until
from tests.order.stress import seal_all

from jobledger import Client
from jobledger.delivery.webhooks import Webhooks

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.store.pool import Store

ROOT = Path(__file__).resolve().parents[2]
KILLS = 2
TYPES = ["job.enqueued", "job.reprioritised", "job.cancelled"]


def _deliverer(dsn: str) -> subprocess.Popen[bytes]:
    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-m", "tests.delivery.deliverers", dsn]
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": places})  # noqa: S603 - our own words


@pytest.mark.slow
async def test_killed_deliverers_lose_and_invert_nothing(database: str, store: Store) -> None:
    """Two deliver, one after the other is killed under way: every event arrives, each job's in order, again at most."""
    chance = random.Random(9)  # noqa: S311 - a test's choice

    async def answer(_: web.Request, __: Any) -> int:
        await asyncio.sleep(0.01)
        return 503 if chance.random() < 0.1 else 204

    async with Client(store, strict=False) as client, endpoint() as hook:
        hook.answer = answer
        webhooks = Webhooks(store, tenant="acme", private=True)
        made = await webhooks.create("all", hook.url, types=TYPES)
        async with store.connection() as sql:
            await sql.execute("update jobledger.subscriptions set lease_s = 2 where id = $1", made.id)

        async def well() -> bool:
            return (await webhooks.get(made.id)).state == "active"

        running = [_deliverer(database) for _ in range(2)]
        expected: list[str] = []
        try:
            for turn in range(KILLS + 1):
                calls = [await client.call("noop", tenant="acme") for _ in range(25)]
                jobs = [one.id for one in await client.enqueue_many(calls)]
                for job in jobs:
                    await client.reprioritise(job, tenant="acme", priority=turn, reason="r")
                    await client.cancel(job, tenant="acme", reason="r")
                async with store.connection() as sql:
                    await seal_all(sql)
                half = len(set(_ids(hook.taken))) + 40
                expected += [f"{job}/{version}" for job in jobs for version in (1, 2, 3)]
                if turn < KILLS:
                    await hook.until(lambda half=half: len(set(_ids(hook.taken))) >= half, 60)  # type: ignore[misc]
                    running[turn % 2].kill()
                    running[turn % 2].wait()
                    running[turn % 2] = _deliverer(database)
            await hook.until(lambda: set(_ids(hook.taken)) >= set(expected), 60)
            # Noted a moment after it was taken.
            await until(well)
        finally:
            for process in running:
                process.kill()
                process.wait()
        first: dict[str, list[int]] = {}
        for stream, version in ((one["subject"], one["streamversion"]) for one in hook.taken):
            order = first.setdefault(stream, [])
            if version not in order:
                order.append(version)
        assert set(_ids(hook.taken)) == set(expected)
        assert all(order == [1, 2, 3] for order in first.values())
        # Each kill repeats what was sent since the last checkpoints, no more.
        assert len(hook.taken) < len(expected) * 2


def _ids(taken: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in taken]
