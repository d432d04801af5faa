"""Feeds: catching up, going live, filters, and cursors that can be taken up anywhere."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import BadCursor, InvalidArgument
from jobledger.order import hub as hubs
from jobledger.order import reader as readers
from jobledger.order.cursor import Place
from jobledger.order.filters import EventFilter
from jobledger.order.log import read_page, seal
from jobledger.order.sealer import FOLLOWED_S, Sealer
from jobledger.store.workers import heartbeat, start_worker

from .stress import Writers, facts, seal_all, whole_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.jobs.door import EventFeed as Feed
    from jobledger.order.hub import Hub
    from jobledger.order.log import Page
    from jobledger.store.pool import Store

    Fact = tuple[UUID, int]


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """Give a client on the test's own database."""
    async with Client(store, strict=False) as made:
        yield made


async def _seal(store: Store) -> None:
    async with store.connection() as connection:
        await seal_all(connection)


async def _all(feed: Feed) -> list[Event]:
    return [event async for event in feed]


def _of(events: list[Event]) -> list[Fact]:
    return [(event.stream_id, event.version) for event in events]


async def _until(feed: Feed, last: Fact, slow: bool = False) -> list[Fact]:
    found: list[Fact] = []
    async for event in feed:
        found.append((event.stream_id, event.version))
        if slow:
            await asyncio.sleep(0.001)
        if found[-1] == last:
            break
    await feed.aclose()
    return found


@pytest.mark.slow
async def test_live_feeds_join_what_they_caught_up_with(two_phase: str) -> None:
    """Feeds that begin at any moment of a run, quick ones and slow ones, all get the whole log in its one order."""
    async with Client(two_phase, strict=False) as client:
        sealing = asyncio.create_task(Sealer(client.store).run())
        writing = asyncio.create_task(Writers(two_phase, straggle_s=0.2).run(6, 2.0))
        feeds: list[tuple[Feed, asyncio.Task[list[Fact]]]] = []
        while not writing.done():
            feed = client.events()
            feeds.append((feed, asyncio.create_task(_first(feed, len(feeds) * 7))))
            await asyncio.sleep(0.2)
        await writing
        last = await client.enqueue("noop")
        taken = [(await began, feed) for feed, began in feeds]
        rests = await asyncio.gather(
            *(_until(feed, (last.id, 1), slow=at % 3 == 0) for at, (_, feed) in enumerate(taken))
        )
        sealing.cancel()
        async with client.store.connection() as connection:
            order = facts(await whole_log(connection))
        for (first, _), rest in zip(taken, rests, strict=True):
            assert first + rest == order
        assert not hubs._hubs


async def _first(feed: Feed, count: int) -> list[Fact]:
    found: list[Fact] = []
    while len(found) < count:
        event = await anext(feed)
        found.append((event.stream_id, event.version))
    return found


async def test_one_hub_reads_each_block_once_however_many_listen(client: Client) -> None:
    """Fifty live feeds cost as many reads of the log as one."""
    feeds = [client.events(from_end=True) for _ in range(50)]
    waiting = [asyncio.create_task(anext(feed)) for feed in feeds]
    (hub,) = await _hub_of(len(feeds))
    # From then on it reads when it is told, and twice a second.
    await until(lambda: hub._ear is not None and hub._ear.connected)
    reads = hub.reads
    job = await client.enqueue("noop")
    await _seal(client.store)
    assert [event.stream_id for event in await asyncio.gather(*waiting)] == [job.id] * 50
    assert hub.reads - reads < 50
    for feed in feeds:
        await feed.aclose()
    assert not hubs._hubs


async def test_live_feeds_are_told_of_a_seal(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint wakes the hub, whose timer is long; without its connection it polls; a followed sealer looks often."""
    monkeypatch.setattr(hubs, "_HEARING_S", 600.0)
    feed = client.events(from_end=True)
    waiting = asyncio.create_task(anext(feed))
    (hub,) = await _hub_of(1)
    await until(lambda: hub._ear is not None and hub._ear.connected)
    first = await client.enqueue("noop")
    await _seal(client.store)
    assert (await waiting).stream_id == first.id
    sealer = Sealer(client.store, busy_s=0.01, idle_s=5.0)
    sealing = asyncio.create_task(sealer.run())
    await until(lambda: sealer.pause_s == FOLLOWED_S)
    sealing.cancel()
    async with client.store.connection() as connection:
        # One that was made again meanwhile would be told of the seal.
        monkeypatch.setattr("jobledger.store.listen._BACKOFF_S", (600.0, 600.0))
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'jobledger reader' and datname = current_database()"
        )
    await until(lambda: hub._ear is not None and not hub._ear.connected)
    second = await client.enqueue("noop")
    await _seal(client.store)
    assert (await anext(feed)).stream_id == second.id
    await feed.aclose()


async def _hub_of(ears: int) -> list[Hub]:
    """Wait for the hub to be listened to by so many, and to have begun."""

    def begun() -> bool:
        return any(hub.reads and sum(map(len, hub._ears.values())) >= ears for hub in hubs._hubs.values())

    await until(begun)
    return list(hubs._hubs.values())


async def test_a_slow_reader_falls_back_and_misses_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub no longer keeps is read from the database: memory is bounded, and nothing is lost."""
    monkeypatch.setattr(hubs, "KEPT_EVENTS", 5)
    feed = client.events()
    waiting = asyncio.create_task(anext(feed))
    (hub,) = await _hub_of(1)
    jobs = []
    for _ in range(30):
        jobs.append((await client.enqueue("noop")).id)
        await _seal(client.store)
        # The reader takes nothing meanwhile; the hub goes on alone.
        await until(lambda: hub._place is not None and hub._place.block == len(jobs))
    assert hub._held[0] <= 5
    found = [(await waiting).stream_id, *[(await anext(feed)).stream_id for _ in range(29)]]
    assert found == jobs
    await feed.aclose()


async def test_who_waits_passes_by_what_others_did_however_much_that_was(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than the hub keeps is read once, not once more for each tenant that has no part in it."""
    monkeypatch.setattr(readers, "_ADVANCE_S", 0.05)
    monkeypatch.setattr(hubs, "KEPT_EVENTS", 2)
    read: list[str | None] = []
    page = readers.Feed._page

    async def paged(feed: readers.Feed, place: Place) -> Page:
        read.append(feed.wanted.tenant)
        return await page(feed, place)

    feeds = [client.events(tenant=f"t{number}", from_end=True) for number in range(3)]
    given = [asyncio.create_task(anext(feed)) for feed in feeds]
    (hub,) = await _hub_of(3)
    await until(lambda: hub._place is not None and all(feed.cursor is not None for feed in feeds))
    before = [feed.cursor for feed in feeds]
    await until(lambda: all(ear._waiting is not None for ears in hub._ears.values() for ear in ears))
    monkeypatch.setattr(readers.Feed, "_page", paged)
    for _ in range(6):
        await client.enqueue("noop", tenant="huge")
        await _seal(store)
    await until(lambda: all(feed.cursor != was for feed, was in zip(feeds, before, strict=True)))
    await until(lambda: len({cast("Any", feed).place for feed in feeds} | {hub._place}) == 1)
    assert read == []
    jobs = [await client.enqueue("noop", tenant=f"t{number}") for number in range(3)]
    await _seal(store)
    assert [(await event).stream_id for event in given] == [job.id for job in jobs]
    for feed in feeds:
        await feed.aclose()


async def test_who_reads_along_shares_what_is_more_than_is_kept(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge transaction is read once for all that take it in, and who takes in nothing is waited for no longer."""
    monkeypatch.setattr(hubs, "KEPT_EVENTS", 4)
    monkeypatch.setattr(hubs, "read_page", partial(read_page, limit=2))
    monkeypatch.setattr(hubs, "_PATIENCE", 1_000_000)
    read: list[readers.Feed] = []
    page = readers.Feed._page

    async def paged(feed: readers.Feed, place: Place) -> Page:
        read.append(feed)
        return await page(feed, place)

    async def take(feed: readers.Feed) -> list[UUID]:
        taken: list[UUID] = []
        while len(taken) < 40:
            taken += [one.event.stream_id for one in await feed.several() or ()]
            await asyncio.sleep(0.002)
        return taken

    feeds = [cast("readers.Feed", client.events(from_end=True)) for _ in range(4)]
    taking = [asyncio.create_task(take(feed)) for feed in feeds]
    (hub,) = await _hub_of(4)
    await until(lambda: all(ear._waiting is not None for ears in hub._ears.values() for ear in ears))
    monkeypatch.setattr(readers.Feed, "_page", paged)
    jobs = await client.enqueue_many([await client.call("noop")] * 40)
    await _seal(store)
    assert [await task for task in taking] == [[job.id for job in jobs]] * 4
    assert read == []
    # Nobody takes anything now.
    monkeypatch.setattr(hubs, "_PATIENCE", 4)
    await client.enqueue_many([await client.call("noop")] * 40)
    await _seal(store)
    await until(lambda: hub._place is not None and hub._place.block == 2)
    for feed in feeds:
        await feed.aclose()


async def test_a_cursor_is_taken_up_at_every_event(client: Client) -> None:
    """Wherever a feed is left, another that begins at its cursor gives exactly the rest."""
    for tenant in ("a", "b", "a", "a", "b"):
        await client.enqueue_many([await client.call("noop", tenant=tenant) for _ in range(3)])
        await _seal(client.store)
    choices: tuple[str | None, ...] = (None, "a")
    for chosen in choices:
        whole = _of(await _all(client.events(tenant=chosen, live=False)))
        assert len(whole) == (15 if chosen is None else 9)
        feed = client.events(tenant=chosen, live=False)
        assert feed.cursor is None
        for at in range(len(whole)):
            event = await anext(feed)
            assert (event.stream_id, event.version) == whole[at]
            rest = client.events(tenant=chosen, after=feed.cursor, live=False)
            assert _of(await _all(rest)) == whole[at + 1 :]


async def test_a_filtered_feed_moves_on_past_what_it_passes_over(client: Client) -> None:
    """A feed that finds nothing still advances, caught up or live: its cursor is behind what it looked at."""
    await client.enqueue("noop", tenant="other")
    await _seal(client.store)
    feed = client.events(types=["job.killed"])
    waiting = asyncio.create_task(anext(feed))
    await _hub_of(1)
    seen = {feed.cursor}
    for _ in range(3):
        await client.enqueue("noop", tenant="other")
        await _seal(client.store)
        await until(lambda: feed.cursor not in seen)
        seen.add(feed.cursor)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await _all(client.events(after=feed.cursor, live=False)) == []


async def test_filters_leave_what_was_asked_for(client: Client) -> None:
    """By tenant, type, job, queue and owner; queue and owner are what the job was enqueued with, wherever it is now."""
    mail = await client.enqueue("noop", tenant="a", queue="mail", owner="ada")
    other = await client.enqueue("noop", tenant="b", queue="mail")
    plain = await client.enqueue("noop", tenant="a")
    await client.move(mail.id, queue="slow", reason="r")
    await client.cancel(mail.id, reason="r")
    await client.cancel(plain.id, reason="r")
    await _seal(client.store)

    async def found(**wanted: Any) -> list[Fact]:
        return _of(await _all(client.events(live=False, **wanted)))

    mails = [(mail.id, 1), (mail.id, 2), (mail.id, 3)]
    assert await found(queue="mail") == [mails[0], (other.id, 1), *mails[1:]]
    assert await found(queue="mail", tenant="a") == await found(owner="ada") == await found(job=mail.id) == mails
    assert await found(queue="slow") == []
    assert await found(queue="default") == [(plain.id, 1), (plain.id, 2)]
    assert await found(tenant="a") == [mails[0], (plain.id, 1), *mails[1:], (plain.id, 2)]
    assert await found(tenant="a", types=["job.cancelled"]) == [mails[2], (plain.id, 2)]
    assert await found(job=mail.id, tenant="b") == []


async def test_a_heartbeat_shows_each_tenant_its_own_jobs(client: Client, store: Store) -> None:
    """One heartbeat names jobs of many tenants; a tenant's feed has it with its own only, and not where it has none."""
    jobs = {tenant: (await client.enqueue("noop", tenant=tenant)).id for tenant in ("a", "b")}
    async with store.connection() as connection:
        worker = (await start_worker(connection, 0, kinds=["noop"])).worker
        for call, job in enumerate(jobs.values(), 1):
            await connection.fetch(
                "select * from jobledger.claim_job(0::smallint, $1, $2, $3, array['noop'])", worker, call, job
            )
        for beat in (1, 2):
            await heartbeat(connection, 0, worker, beat=beat, settled=2, held=list(jobs.values()))
        rejected = (
            "select * from jobledger.report(0::smallint, $1, array[$2::uuid], array[1], array['succeeded'], '{null}')"
        )
        await connection.fetch(rejected, worker, jobs["a"])
    live = {tenant: client.events(tenant=tenant, types=["worker.heartbeat"]) for tenant in ("a", "b", "c")}
    waiting = {tenant: asyncio.create_task(anext(feed)) for tenant, feed in live.items()}
    await _hub_of(3)
    await _seal(store)
    for tenant in ("a", "b"):
        assert (await waiting[tenant]).data == {"beat": 0, "held": [str(jobs[tenant])]}
        shown = await _all(
            client.events(tenant=tenant, types=["worker.heartbeat", "worker.report_rejected"], live=False)
        )
        assert [(event.type, event.data and event.data.get("held")) for event in shown] == [
            ("worker.heartbeat", [str(jobs[tenant])]),
            *([("worker.report_rejected", None)] if tenant == "a" else []),
        ]
        (of_job,) = await _all(client.events(job=jobs[tenant], types=["worker.heartbeat"], live=False))
        assert of_job.data == {"beat": 2, "held": [str(jobs[tenant])]}
    assert not waiting["c"].done()
    waiting["c"].cancel()
    await asyncio.wait(waiting.values())
    for feed in live.values():
        await feed.aclose()
    (whole,) = await _all(client.events(types=["worker.heartbeat"], live=False))
    assert whole.data is not None
    assert len(whole.data["held"]) == 2


async def test_marked_arguments_are_masked(client: Client, store: Store) -> None:
    """What a kind marks as masked is hidden in a feed, as in every other face."""
    schema = '{"type": "object", "properties": {"pin": {"type": "string", "x-masked": true}}}'
    async with store.connection() as connection:
        await connection.fetch("select jobledger.register_kind(0::smallint, 'k', 1, $1)", schema)
    await client.enqueue("k", {"pin": "1234"})
    await _seal(store)
    (event,) = await _all(client.events(types=["job.enqueued"], live=False))
    assert event.data is not None
    assert "1234" not in str(event.data)


async def test_a_tenants_cursor_says_nothing_and_is_good_for_that_tenant_only(client: Client) -> None:
    """It is encrypted: equal in length whatever the place, refused for others, and plain ones are refused beside it."""
    for _ in range(3):
        await client.enqueue_many([await client.call("noop", tenant=tenant) for tenant in ("a", "b")])
        await _seal(client.store)
    cursors = []
    async for _ in (feed := client.events(tenant="a", live=False)):
        cursors.append(feed.cursor or "")
    async for _ in (plain := client.events(live=False)):
        pass
    assert len({len(cursor) for cursor in cursors}) == 1
    assert len({cursor[:8] for cursor in cursors}) == 3
    wrong: list[dict[str, Any]] = [
        {"tenant": "b", "after": cursors[0]},
        {"after": cursors[0]},
        {"tenant": "a", "after": plain.cursor},
        {"tenant": "a", "after": cursors[0][:-2] + "AA"},
        *(
            {"tenant": tenant, "after": text}
            for tenant in ("a", None)
            for text in ("", "p", "s", "x" * 300, "pé", "s=")
        ),
        {"after": Place(-1 & (2**64 - 1), 0, 1).text()},
    ]
    for options in wrong:
        with pytest.raises(BadCursor) as refused:
            await anext(client.events(live=False, **options))
        assert len(str(options["after"])) < 3 or str(options["after"]) not in str(refused.value)


async def test_what_no_feed_can_be_is_refused(client: Client) -> None:
    """Names of events that are none, ids that are none, two beginnings."""
    wrong: list[dict[str, Any]] = [
        {"types": ["job.nothing"]},
        {"types": []},
        {"types": "job.failed"},
        {"job": "x"},
        {"tenant": ""},
        {"queue": 5},
        {"after": "p", "from_end": True},
        {"after": 5},
    ]
    for options in wrong:
        with pytest.raises(InvalidArgument):
            client.events(**options)


async def test_who_is_bound_to_tenants_reads_no_order(store: Store) -> None:
    """A sealer that may not know what there was ends, and says nothing; sealing itself tells such a role nothing."""
    async with store.connection() as connection:
        await connection.execute("select jobledger.enqueue('noop')")
        await connection.execute("create role bound_reader in role jobledger_worker")
        try:
            await connection.execute("set role bound_reader")
            assert tuple(await seal(connection, 0)) == (None, 0, False, False, False)
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch("select * from jobledger.blocks")
        finally:
            await connection.execute("reset role")
            await connection.execute("drop role bound_reader")
        assert await connection.fetchval("select count(*) from jobledger.blocks") == 1


async def test_who_passes_over_much_hears(client: Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing of a long stretch is wanted, `several` returns in it, as where nothing comes; and loses nothing."""
    monkeypatch.setattr(readers, "PAGE", 1)
    monkeypatch.setattr(readers, "_PAGE_LEAST", 1)
    monkeypatch.setattr(readers, "_ADVANCE_S", 0.0)
    for _ in range(3):
        await client.enqueue("noop")
    last = await client.enqueue("noop", queue="mail")
    await _seal(store)
    async with readers.Feed(store, EventFilter(queue="mail"), live=False) as feed:
        assert await feed.several() == []
        found = []
        while (some := await feed.several()) is not None:
            found += [one.event.stream_id for one in some]
        assert found == [last.id]
