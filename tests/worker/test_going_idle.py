"""Enqueues raced against the moment in which a worker goes idle: the hint finds them, or else the timer does."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest
from tests.worker.conftest import until

from jobledger.jobs import App
from jobledger.worker.life import Manner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.worker.conftest import Bench

    from jobledger.worker.fetch import Fetcher

TOLD_S = 0.26
"""After its commit no job is picked up later than this."""
BURST = 60
"""So many jobs at once make a worker lower its flag; when they are done it goes idle again."""
ENQUEUE = "select jobledger.enqueue('mark', jsonb_build_object('number', $1::int))"
BULK = (
    "select count(*) from jobledger.enqueue_many((select jsonb_agg(jsonb_build_object('kind', 'mark', 'args',"
    " jsonb_build_object('number', -n))) from generate_series(1, $1::int) as n))"
)


class Marks:
    """When each job was committed and when it began, and how many the timer found."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.app = App("race")
        self.began: dict[int, float] = {}
        self.committed: dict[int, float] = {}
        self.bursts = [0, 0]
        self.by_timer = 0

        @self.app.job(name="mark")
        async def mark(number: int) -> None:
            if number < 0:
                self.bursts[1] += 1
            else:
                self.began[number] = time.monotonic()

    async def burst(self, sql: asyncpg.Connection[Any]) -> None:
        """Keep the worker busy, once the burst before is done: jobs that queue up would say nothing of its wake-up."""
        await until(lambda: self.bursts[0] == self.bursts[1], 60)
        self.bursts[0] += BURST
        await sql.execute(BULK, BURST)

    def count(self, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count the raced jobs, not the polls, that no hint asked for: one that waits for the timer brings many."""
        plain = fetcher._answer

        async def answered(home: Any, n: int, call: int, asked: Any, cause: str, named: Any) -> Any:
            jobs = await plain(home, n, call, asked, cause, named)
            if cause == "timer":
                self.by_timer += sum(orjson.loads(job.data)["args"]["number"] >= 0 for job in jobs or ())
            return jobs

        monkeypatch.setattr(fetcher, "_answer", answered)

    def late_s(self) -> list[float]:
        """Return how long after its commit each job began, the longest last."""
        return sorted(self.began[number] - at for number, at in self.committed.items())


class Probe:
    """How slow the machine itself was at its worst: the loop's turn, and the answer to the least question."""

    def __init__(self, sql: asyncpg.Connection[Any]) -> None:
        """Measure over this connection."""
        self._sql = sql
        self.worst_s = 0.0

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            await self._sql.fetchval("select pg_current_xact_id() is null")
            self.worst_s = max(self.worst_s, time.monotonic() - began - 0.01)


@contextlib.asynccontextmanager
async def connections(bench: Bench, count: int) -> AsyncIterator[list[asyncpg.Connection[Any]]]:
    """Give some enqueuers."""
    made = [await asyncpg.connect(bench.dsn) for _ in range(count)]
    try:
        yield made
    finally:
        for connection in made:
            await connection.close()


async def race(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    jobs: int,
    *,
    told_s: float = TOLD_S,
    enqueuers: int,
    each: int,
    open_s: float,
    spread_s: float,
) -> tuple[int, int]:
    """Let a worker go idle again and again, and enqueue around that moment; return how many the timer found.

    And how often it went idle.

    `each` is how many jobs an enqueuer makes at random moments of one such round; with `open_s` in one transaction,
    which stays open that long after the first.
    """
    marks = Marks()
    numbers = iter(range(jobs))
    chance = random.Random(4)  # noqa: S311 - spreads the moments, no secret
    async with connections(bench, enqueuers + 2) as (burster, prober, *sqls):
        probe = Probe(prober)
        watching = asyncio.create_task(probe.watch())
        manner = Manner(poll_s=0.25, tick_s=0.25)
        async with bench.worker(marks.app, manner=manner, concurrency=100) as worker:
            assert worker.life is not None
            marks.count(worker.life.fetcher, monkeypatch)

            async def one(sql: asyncpg.Connection[Any]) -> None:
                taken = list(islice(numbers, each))
                if open_s:
                    async with sql.transaction():
                        for number in taken:
                            await asyncio.sleep(chance.uniform(0, open_s / each))
                            await sql.execute(ENQUEUE, number)
                        await asyncio.sleep(open_s / 2)
                    marks.committed |= dict.fromkeys(taken, time.monotonic())
                    return
                for number in taken:
                    await asyncio.sleep(chance.uniform(0, spread_s / each))
                    await sql.execute(ENQUEUE, number)
                    marks.committed[number] = time.monotonic()

            async def bursts() -> None:
                while True:
                    await marks.burst(burster)
                    await asyncio.sleep(chance.uniform(0, spread_s))

            if open_s:
                bursting = asyncio.create_task(bursts())
                while len(marks.committed) < jobs:
                    await asyncio.gather(*map(one, sqls))
                bursting.cancel()
                await asyncio.wait([bursting])
            else:
                while len(marks.committed) < jobs:
                    await marks.burst(burster)
                    await asyncio.gather(*map(one, sqls))
            await until(lambda: len(marks.began) == jobs, 60)
            watching.cancel()
            await asyncio.wait([watching])
            assert worker.life.idle is not None
            found, raised = worker.life.fetcher.found, worker.life.idle.raised
    late = marks.late_s()
    print(
        f"{jobs} jobs, median {late[jobs // 2] * 1000:.1f} ms, longest {late[-1] * 1000:.1f} ms, machine's own "
        f"{probe.worst_s * 1000:.1f} ms, by timer {marks.by_timer}, polls {dict(found)}, went idle {raised} times"
    )
    # What the timer finds comes after some turns and questions more than the probe's one; a hint comes long before.
    assert late[-1] <= told_s + (4 if open_s else 1) * probe.worst_s
    return marks.by_timer, raised


@pytest.mark.slow
async def test_a_few_enqueues_while_a_worker_goes_idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In autocommit hardly one is left to the timer."""
    by_timer, raised = await race(
        bench, monkeypatch, 400, told_s=5 * TOLD_S, enqueuers=4, each=2, open_s=0, spread_s=0.08
    )
    assert raised >= 5
    assert by_timer <= 12


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_ten_thousand_enqueues_while_a_worker_goes_idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """None waits longer than the timer; in autocommit at most one in a hundred waits for it."""
    by_timer, raised = await race(bench, monkeypatch, 10_000, enqueuers=5, each=4, open_s=0, spread_s=0.15)
    assert raised >= 250
    assert by_timer <= 100


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_ten_thousand_enqueues_in_transactions_of_a_second(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their look at the flag is old when they commit, so the hint may miss them all: the timer does not."""
    await race(bench, monkeypatch, 10_000, enqueuers=25, each=10, open_s=1.0, spread_s=0.2)
