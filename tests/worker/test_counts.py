"""What a worker sends, counted on the wire: while it waits, and from an enqueue to the handler's start."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from tests.worker.conftest import Bench, quick, until
from tests.worker.test_wakeup import Ran, becomes, enqueued, idle, other

from jobledger.settings import Settings
from jobledger.store import listen as listening
from jobledger.store.pool import Store
from jobledger.testing.line import Line
from jobledger.testing.proxy import Proxy
from jobledger.worker.life import Manner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg
    from tests.conftest import Databases

    from jobledger.worker.worker import Worker

CALLED: Final = re.compile(rb"jobledger\.(\w+)\(")
EVERY_S: Final = {
    "poll": 0.25,
    "projections_due": 3.0,
    "seal": 5.0,
    "tell_sealed": 5.0,
    "heartbeat": 10.0,
    "channel": 30.0,
}
"""What a worker sends while it waits, and every how many seconds; a poll ticks, too, in the same exchange."""
A_SECOND: Final = 5
WINDOW_S: Final = 20.0
WARM: Final = 3
"""Jobs until a claim and a report are prepared, each on the connection that it keeps."""
FINISHED: Final = "select count(*) from jobledger.finished"
BEHIND: Final = """
select count(*) from jobledger.projections as p
where p.block < (select max(b.block) from jobledger.blocks as b) or not exists (select from jobledger.blocks)
"""


class Exchange(NamedTuple):
    """One question to the server and its answer: when it was sent, and what."""

    at: float
    what: str


class Wire(Proxy):
    """A proxy that notes each exchange of whoever connects through it."""

    def __init__(self, dsn: str) -> None:
        """Nothing was sent yet."""
        super().__init__(dsn)
        self.sent: list[Exchange] = []

    def words(self, since: int = 0) -> list[str]:
        """Return what was sent since so many exchanges."""
        return [one.what for one in self.sent[since:]]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each `Wire` note what passes it: a simple query, or what was last named before a Sync or Flush."""
    plain = Line._read
    named: dict[Line, bytes] = {}

    def read(line: Line, kind: bytes, body: bytes) -> None:
        plain(line, kind, body)
        if kind == b"P":
            named[line] = body.split(b"\0")[1]
        elif kind == b"B":
            named[line] = line._statements.get(body.split(b"\0", 2)[1], b"")
        elif kind in b"QSH" and isinstance(line._proxy, Wire):
            sql = body.rstrip(b"\0") if kind == b"Q" else named.get(line, b"")
            line._proxy.sent.append(Exchange(time.monotonic(), word(sql)))

    monkeypatch.setattr(Line, "_read", read)


def word(sql: bytes) -> str:
    """Name a statement: the first function of ours that it calls, or how it begins."""
    called = [name.decode() for name in CALLED.findall(sql)]
    if "tick" in called and "claim" in called:
        return "poll"
    return called[0] if called else sql.decode().strip()[:30]


@asynccontextmanager
async def wired(
    dsn: str, ran: Ran, settings: Settings, manner: Manner
) -> AsyncIterator[tuple[Wire, Worker, asyncpg.Connection[asyncpg.Record]]]:
    """Give a worker behind a wire of its own, and a connection past it."""
    with Wire(dsn) as wire:
        async with await Store.connect(wire.dsn) as store, await Store.connect(dsn) as past:
            bench = Bench(past, dsn)
            async with other(bench) as sql, bench.worker(ran.app, store, settings=settings, manner=manner) as worker:
                yield wire, worker, sql


def in_vain(worker: Worker) -> bool:
    """Say whether the last poll brought nothing: none follows before the timer or a hint."""
    assert worker.life is not None
    return worker.life.fetcher.empty_polls > 0 and not worker.life.fetcher.under_way


@pytest.mark.slow
@pytest.mark.usefixtures("noted")
async def test_a_worker_that_waits_sends_five_queries_a_second_at_most(databases: Databases, template: str) -> None:
    """With sealing and projections, whether it is told of jobs or not, once its last job is sealed and folded.

    The last position that was drawn is one of an enqueue that was rolled back.
    """

    async def waits(notify: str) -> tuple[float, Sequence[Exchange]]:
        name, ran = databases.create(template), Ran()
        try:
            settings = Settings(notify=notify)
            async with wired(databases.server.dsn_for(name), ran, settings, Manner()) as (wire, worker, sql):
                await enqueued(sql, 1)
                await ran.has(1)
                await becomes(sql, 0, BEHIND)
                await sql.execute("begin; select jobledger.enqueue('noop'); rollback")
                # By then its connection has learnt the types that it needs, and the sealer looks seldom.
                await until(lambda: worker.life and worker.life.heartbeat.beats)
                before, began = len(wire.sent), time.monotonic()
                await asyncio.sleep(WINDOW_S)
                return time.monotonic() - began, wire.sent[before:]
        finally:
            databases.drop(name)

    for passed_s, sent in await asyncio.gather(waits("idle"), waits("off")):
        count = Counter(one.what for one in sent)
        polls = [one.at for one in sent if one.what in ("poll", "claim")]
        # The machine's doing: a tick does not wait for a poll that is late. It goes by itself, and that poll too.
        late = sum(after - before > 1.15 * EVERY_S["poll"] for before, after in pairwise(polls))
        print(f"{len(sent) / passed_s:.2f} a second, {late} late: {dict(count)}")
        assert set(count) <= {*EVERY_S, *(["tick", "claim"] if late else [])}
        assert len(sent) <= A_SECOND * passed_s + len(EVERY_S) + late


@pytest.mark.usefixtures("noted")
async def test_from_an_enqueue_to_the_handler_a_worker_asks_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim, by a statement that the session has prepared; then the report, and one look whether more came."""
    # No timer comes: neither of the worker nor of what it does beside its jobs.
    monkeypatch.setattr(listening, "_CHECK_S", 3600.0)
    settings = quick(heartbeat_s=1000, lease_s=3600, seal=False, projections=False)
    ran, begun = Ran(), list[int]()

    @ran.app.job(name="look")
    async def look() -> None:
        begun.append(len(wire.sent))

    async with wired(database, ran, settings, Manner(poll_s=600, tick_s=600)) as (wire, worker, sql):

        async def rest(jobs: int) -> None:
            await becomes(sql, jobs, FINISHED)
            await until(lambda: in_vain(worker))
            await idle(worker)

        await rest(0)
        for number in range(10):
            before = len(wire.sent)
            await sql.execute("select jobledger.enqueue('look')")
            await rest(number + 1)
            if number >= WARM:
                assert wire.words(before)[: begun[number] - before] == ["claim_hinted"]
                assert wire.words(before) == ["claim_hinted", "report", "claim"]
