"""Old partitions of the log are given up: what goes, what keeps them, what readers are told, and what is left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import FeedReset, Forbidden, MomentLost, Unavailable
from jobledger.observations import PartitionDropped, observing
from jobledger.order.audit import verify
from jobledger.order.counts import counts_as_of
from jobledger.order.cursor import Place
from jobledger.order.log import log_end, read_page, seal
from jobledger.order.projections import built_in
from jobledger.order.retention import add_partitions, drop_partitions, list_partitions
from jobledger.order.runner import Runner
from jobledger.store.doctor import examine
from jobledger.store.recovery import compare, open_store, rebuild

from .stress import facts, inversions, seal_all, whole_log
from .test_epochs import moved_elsewhere

if TYPE_CHECKING:
    from uuid import UUID

    from jobledger.order.log import Sealed
    from jobledger.store.pool import Connection, Store
    from jobledger.testing.clock import Clock

ACTED = "select verdict from jobledger.act(0::smallint, $1, null, array[$2::uuid], 'ada', 'why')"
BLOCKS = "select count(*) from jobledger.blocks"
OF_HORIZON = (
    "select (jobledger.moment_of_place(h.shard, jobledger.told_epoch(h.shard, h.block, h.epoch), h.block, h.position))"
    ".block = h.block from jobledger.horizon as h"
)
KEEP = timedelta(days=30)


async def finished_jobs(connection: Connection, count: int, *, sealed: bool = True) -> list[UUID]:
    """Enqueue and cancel so many jobs, each sealed by itself."""
    jobs = []
    for _ in range(count):
        jobs.append(await connection.fetchval("select jobledger.enqueue('noop', key => gen_random_uuid()::text)"))
        await connection.fetchval(ACTED, "cancel", jobs[-1])
        if sealed:
            await seal(connection, 0)
    return jobs


async def later(connection: Connection, clock: Clock) -> None:
    """Let four months pass, to the middle of one, with the clockwork seeing to the partitions to come."""
    now = await clock.now()
    month = now.month + 3
    await clock.set(now.replace(year=now.year + month // 12, month=month % 12 + 1, day=15))
    await connection.fetchval("select jobledger.tick()")


async def dropped(connection: Connection) -> dict[str, str | None]:
    """Drop what is old, and return what became of each partition."""
    done = await drop_partitions(connection, 0, KEEP, actor="ada", patience_s=0.3)
    return {one.name: one.kept for one in done.partitions}


async def read_on(connection: Connection, place: Place, limit: int = 2) -> list[Sealed]:
    """Read to the end in small pages."""
    found: list[Sealed] = []
    while True:
        page = await read_page(connection, 0, place, limit=limit)
        if page.reached == place:
            return found
        found += page.events
        place = page.reached


async def test_an_old_partition_goes_with_everything_in_it(store: Store, clock: Clock) -> None:
    """Its jobs, keys and events; a retry is told `job_gone`; the tables stay what the log says, also rebuilt."""
    async with store.connection() as connection:
        # A calendar month is one of UTC, wherever who drops may be.
        await connection.execute("set timezone = 'Pacific/Auckland'")
        old = await finished_jobs(connection, 3)
        await connection.execute("insert into jobledger.rejected_reports values ($1, $2, 1, 0)", old[0], old[1])
        await later(connection, clock)
        young = await finished_jobs(connection, 2)
        names = {one.name for one in await list_partitions(connection, 0)}
        with observing(PartitionDropped) as seen:
            kept = await dropped(connection)
        assert set(kept.values()) == {None}
        assert {one.name for one in seen} == set(kept)
        assert sum(one.rows for one in seen) == 4
        assert {one.name for one in await list_partitions(connection, 0)} == names - set(kept)
        assert await connection.fetchval(ACTED, "retry", old[0]) == "job_gone"
        assert await connection.fetchval(ACTED, "cancel", young[0]) == "wrong_state"
        assert await connection.fetchval("select count(*) from jobledger.finished") == 2
        assert await connection.fetchval("select count(*) from jobledger.idempotency") == 2
        await seal_all(connection)
        order = await whole_log(connection)
        assert not {one.event.stream_id for one in order} & set(old)
        told = [one.event for one in order if one.event.type == "store.partition_dropped"]
        assert {(event.data or {})["name"] for event in told} == set(kept)
        assert {event.actor for event in told} == {"ada"}
        assert await compare(connection, 0) == []
        assert await dropped(connection) == {}
        # The running month and the one before stay, whatever is asked for.
        rest = await drop_partitions(connection, 0, timedelta(days=-20))
        assert [one.kept for one in rest.partitions] == ["recent", "recent"]
    await rebuild(store, "status")
    await rebuild(store, "queue")
    async with store.connection() as connection:
        assert await compare(connection, 0) == []
        assert await connection.fetchval("select count(*) from jobledger.finished") == 2


async def test_a_reader_in_the_dropped_range_is_told_and_the_others_go_on(store: Store, clock: Clock) -> None:
    """Before the horizon a cursor of before is reset, one of after goes on; behind it nothing has changed."""
    async with Client(store, strict=False) as client, store.connection() as connection:
        await finished_jobs(connection, 6)
        await connection.execute("select jobledger.pause(0::smallint, 'queue', 'q', 'ada', 'why')")
        await seal_all(connection)
        before = await whole_log(connection)
        await later(connection, clock)
        await finished_jobs(connection, 3)
        after = (await whole_log(connection))[len(before) :]
        await dropped(connection)
        # The last event of the old jobs is that before the pause.
        end = before[-2].place
        for stood in (before[0].place, before[-3].place):
            with pytest.raises(FeedReset) as told:
                await anext(client.events(after=stood.text(), live=False))
            assert told.value.detail["reason"] == "below_horizon"
            rest = client.events(after=told.value.detail["cursor"], live=False)
            assert [event.position for event in [one async for one in rest]][: len(after) + 1] == [
                one.event.position for one in [before[-1], *after]
            ]
        assert facts(await read_on(connection, end))[: len(after) + 1] == facts([before[-1], *after])
        assert facts(await read_on(connection, before[-1].place))[: len(after)] == facts(after)
        left = await whole_log(connection)
        assert facts(left)[: len(after) + 1] == facts([before[-1], *after])
        # Who begins anew reads what is left in pages of any size, and goes on by its cursors.
        for limit in (1, 2, 3):
            assert facts(await read_on(connection, Place(), limit)) == facts(left)


async def test_an_open_job_keeps_its_partition_and_is_named(store: Store, clock: Clock) -> None:
    """So does one that is retried before its row is gone, also by a transaction that is not over."""
    async with store.connection() as connection, store.connection() as other:
        job, *_ = await finished_jobs(connection, 3)
        await later(connection, clock)
        assert await connection.fetchval(ACTED, "retry", job) == "done"
        done = await drop_partitions(connection, 0, KEEP)
        (kept,) = [one for one in done.partitions if one.kept is not None]
        assert (kept.kept, kept.facts["live"], kept.facts["jobs"]) == ("live", 1, [str(job)])
        assert await connection.fetchval("select count(*) from jobledger.finished") == 2
        assert await connection.fetchval(ACTED, "cancel", job) == "done"
        await other.execute("begin")
        assert await other.fetchval(ACTED, "retry", job) == "done"
        # Its transaction is waited for; the other jobs' rows stay until then.
        assert (await dropped(connection))[kept.name] == "writers"
        await other.execute("commit")
        assert (await dropped(connection))[kept.name] == "live"
        assert await compare(connection, 0) == []
        await connection.fetchval(ACTED, "cancel", job)
        assert (await dropped(connection))[kept.name] is None
        assert await connection.fetchval(ACTED, "retry", job) == "job_gone"
        assert await compare(connection, 0) == []


@pytest.mark.slow
async def test_a_retry_between_the_steps_keeps_the_partition(store: Store, clock: Clock) -> None:
    """Of the jobs of a partition that is being given up those without a row are gone, the others can be retried."""
    async with store.connection() as connection:
        jobs = await finished_jobs(connection, 3)
        await later(connection, clock)
        name = await connection.fetchval("select 'events_' || to_char(jobledger.time_of($1), 'YYYY_MM')", jobs[0])
        assert await connection.fetchval("select jobledger.retire(0::smallint, $1, 'ada')", name) is None
        # Of what is being given up readers before the horizon see nothing any more: the next page may lack some of it.
        assert await whole_log(connection) == []
        assert await connection.fetchval("select gone from jobledger.retire_rows(0::smallint, $1, null, 1)", name) == 1
        assert (await verify(store)).faults == []
        assert await connection.fetchval(ACTED, "retry", jobs[0]) == "job_gone"
        assert await connection.fetchval(ACTED, "retry", jobs[1]) == "done"
        assert (await dropped(connection))[name] == "live"
        assert await compare(connection, 0) == []
        await connection.fetchval(ACTED, "cancel", jobs[1])
        assert (await dropped(connection))[name] is None


@pytest.mark.slow
async def test_recovery_brings_nothing_back(store: Store, clock: Clock) -> None:
    """The copy of the live tables forgets jobs that went since; an opening after a drop is what the log says."""
    async with store.connection() as connection:
        old = await connection.fetchval("select jobledger.enqueue('noop')")
        assert await connection.fetchval("select jobledger.copy_queue(0::smallint)")
        await connection.fetchval(ACTED, "cancel", old)
        await later(connection, clock)
        young = await connection.fetchval("select jobledger.enqueue('noop')")
        assert set((await dropped(connection)).values()) == {None}
        await connection.execute("truncate jobledger.ready, jobledger.waiting, jobledger.running, jobledger.live")
        opened = await open_store(store)
        assert (opened.rows, opened.copied) == (1, 0)
        assert await connection.fetchval("select array_agg(id) from jobledger.jobs") == [young]
        assert await compare(connection, 0) == []
        assert await connection.fetchval("select count(*) from jobledger.queue_snapshots") == 1


@pytest.mark.slow
async def test_a_worker_that_is_alive_keeps_the_partition_it_began_in(store: Store, clock: Clock) -> None:
    """Its events lie there; one whose lease is over goes with it. Doctor tells of what was not brought to its end."""
    started = "select worker from jobledger.worker_start(0::smallint, null, null, array['noop'], null, 30)"
    async with store.connection() as connection:
        worker = await connection.fetchval(started)
        renewed = "update jobledger.workers set lease_until = jobledger.now() + $2::interval where id = $1"
        await connection.execute(renewed, worker, timedelta(days=200))
        await later(connection, clock)
        assert "workers" in (await dropped(connection)).values()
        await connection.execute(renewed, worker, timedelta(seconds=-30))
        await seal_all(connection)
        name = await connection.fetchval("select 'events_' || to_char(jobledger.time_of($1), 'YYYY_MM')", worker)
        assert await connection.fetchval("select jobledger.retire(0::smallint, $1, null)", name) is None
        (told,) = [one for one in await examine(store, compared=False) if one.topic == "partitions"]
        assert (told.severity, told.facts["retiring"]) == ("warning", [name])
        assert (await dropped(connection))[name] is None
        assert not await connection.fetchval("select count(*) from jobledger.workers")
        (told,) = [one for one in await examine(store, compared=False) if one.topic == "partitions"]
        assert told.severity == "good"


@pytest.mark.slow
async def test_an_enqueue_that_was_open_all_the_time_keeps_its_partition(store: Store, clock: Clock) -> None:
    """Nobody sees its job before it commits: its transaction is waited for, and then the job is found."""
    async with store.connection() as connection, store.connection() as other:
        await finished_jobs(connection, 1)
        await other.execute("begin")
        job = await other.fetchval("select jobledger.enqueue('noop')")
        await later(connection, clock)
        name = await connection.fetchval("select 'events_' || to_char(jobledger.time_of($1), 'YYYY_MM')", job)
        assert (await dropped(connection))[name] == "writers"
        dropping = asyncio.create_task(drop_partitions(connection, 0, KEEP))
        await until(lambda: store_has(store, "select exists (select from jobledger.retired where dropped_at is null)"))
        await other.execute("commit")
        kept = {one.name: one.kept for one in (await dropping).partitions}
        assert kept[name] == "live"
        assert await compare(connection, 0) == []


@pytest.mark.slow
async def test_what_commits_while_it_is_detached_brings_a_partition_back(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is behind the detaching: where a job is found then, the partition is attached again, whole."""

    async def nobody(_: object) -> set[tuple[str, int | None]]:
        return set()

    monkeypatch.setattr("jobledger.order.retention._Dropping._writers", nobody)
    async with store.connection() as connection, store.connection() as other:
        # The partition of the job is to be the first.
        first = await connection.fetchval(
            "select min(name) from jobledger.partitions() where state = 'attached' and of = 'events'"
        )
        await connection.execute(f"drop table jobledger.{first}")
        await finished_jobs(connection, 1)
        await other.execute("begin")
        job = await other.fetchval("select jobledger.enqueue('noop')")
        await later(connection, clock)
        dropping = asyncio.create_task(drop_partitions(connection, 0, KEEP))
        await until(lambda: store_has(store, "select exists (select from pg_inherits where inhdetachpending)"))
        await other.execute("commit")
        name = await other.fetchval("select 'events_' || to_char(jobledger.time_of($1), 'YYYY_MM')", job)
        assert {one.name: one.kept for one in (await dropping).partitions}[name] == "live"
        assert await compare(connection, 0) == []
        assert await connection.fetchval(ACTED, "cancel", job) == "done"
        assert (await dropped(connection))[name] is None


async def store_has(store: Store, question: str) -> bool:
    """Ask something of the database beside what goes on in it."""
    async with store.connection() as connection:
        return bool(await connection.fetchval(question))


@pytest.mark.slow
async def test_partitions_of_blocks_go_when_nothing_is_left_in_them(store: Store, clock: Clock) -> None:
    """Those that merging has emptied are dropped by the next run; their space is given back where much went."""
    async with store.connection() as connection:
        await finished_jobs(connection, 3)
        for table in ("blocks", "blocks_0", "blocks_1"):
            await connection.execute(f"alter table jobledger.{table} disable trigger blocks_only_append")
        await connection.execute("update jobledger.blocks set block = 999999 where block = 3")
        await finished_jobs(connection, 2)
        await connection.execute("update jobledger.blocks set block = 2000005 where block = 1000001")
        await connection.fetchval("select jobledger.blocks_ensure(0::smallint)")
        await finished_jobs(connection, 2)
        for table in ("blocks", "blocks_0", "blocks_1"):
            await connection.execute(f"alter table jobledger.{table} enable trigger blocks_only_append")
        await later(connection, clock)
        young = await finished_jobs(connection, 2)
        assert set((await dropped(connection)).values()) == {None}
        assert await dropped(connection) == {}
        names = {one.name for one in await list_partitions(connection, 0) if one.of == "blocks"}
        assert not names & {"blocks_0", "blocks_1"}
        assert "blocks_2" in names
        left = await whole_log(connection)
        assert {one.event.stream_id for one in left if one.event.type.startswith("job.")} == set(young)
        assert facts(await read_on(connection, Place(), 1)) == facts(left)


class Mortal:
    """A connection whose session is ended by the server behind its n-th statement."""

    def __init__(self, connection: Connection, admin: Connection, statements: int) -> None:
        """Let it live for so many statements."""
        self._connection = connection
        self._admin = admin
        self._left = statements

    def __getattr__(self, name: str) -> Any:
        """Give the connection's own, but count what is sent."""
        found = getattr(self._connection, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval"):
            return found

        async def sent(*words: Any) -> Any:
            if self._left == 0:
                pid = self._connection.get_server_pid()
                await self._admin.execute("select pg_terminate_backend($1, 5000)", pid)
            self._left -= 1
            return await found(*words)

        return sent


@pytest.mark.slow
async def test_a_drop_that_is_killed_between_any_two_steps_goes_on(store: Store, clock: Clock, database: str) -> None:
    """Each run is ended one statement later than the one before it; at each end the tables are what the log says."""
    async with store.connection() as connection:
        await finished_jobs(connection, 4)
        await later(connection, clock)
        await finished_jobs(connection, 2)
        runs = 0
        while True:
            runs += 1
            session = await asyncpg.connect(database)
            try:
                mortal: Any = Mortal(session, connection, runs)
                done = await drop_partitions(mortal, 0, KEEP)
                break
            except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError):
                assert await compare(connection, 0) == []
            finally:
                await session.close()
        assert runs > 10
        assert {one.kept for one in done.partitions} == {None}
        assert await dropped(connection) == {}
        assert await connection.fetchval("select count(*) from jobledger.finished") == 2
        await seal_all(connection)
        told = [one.event for one in await whole_log(connection) if one.event.type == "store.partition_dropped"]
        assert len({(event.data or {})["name"] for event in told}) == len(told) == 4


@pytest.mark.slow
async def test_open_readers_neither_wait_nor_are_waited_for_by_who_enqueues(
    store: Store, clock: Clock, database: str
) -> None:
    """Months are added and dropped beside one; the detaching that it holds up is brought to its end by the next run."""
    async with store.connection() as connection, store.connection() as other:
        await finished_jobs(connection, 3)
        await later(connection, clock)
        reader = await asyncpg.connect(database)
        await reader.execute("begin isolation level repeatable read")
        counted = await reader.fetchval("select count(*) from jobledger.events")
        assert await add_partitions(connection, 0, ahead=5) == 2
        dropping = asyncio.create_task(dropped(connection))
        longest = 0.0
        while not dropping.done():
            began = asyncio.get_running_loop().time()
            await other.execute("select jobledger.enqueue('noop')")
            longest = max(longest, asyncio.get_running_loop().time() - began)
        first, *_ = sorted((await dropping).items())
        assert first[1] == "readers"
        # The reader stays open for as long as it is asked: who waited for it would never have got on.
        assert longest < 10
        assert await reader.fetchval("select count(*) from jobledger.events") == counted
        with pytest.raises(Unavailable):
            await dropped(connection)
        assert "detach pending" in {one.state for one in await list_partitions(connection, 0)}
        await reader.execute("rollback")
        await reader.close()
        assert (await dropped(connection))[first[0]] is None
        assert await compare(connection, 0) == []


@pytest.mark.slow
async def test_blocks_behind_the_horizon_are_merged_in_their_order(store: Store, clock: Clock) -> None:
    """Few events that are left become few blocks; a job's own keep their order, a straggler's and what is above."""
    async with store.connection() as connection, store.connection() as straggler:
        for round_ in range(2):
            await finished_jobs(connection, 5)
            # A straggler's event comes into a later block with a lower position: no run goes over it.
            await straggler.execute("begin; select jobledger.pause(0::smallint, 'kind', 'slow', 'ada')")
            for number in range(8):
                await connection.execute(f"select jobledger.pause(0::smallint, 'queue', 'q{round_}{number}', 'ada')")
                await seal(connection, 0)
            await straggler.execute("commit; select jobledger.resume(0::smallint, 'kind', 'slow', 'ada')")
            await finished_jobs(connection, 5)
        await later(connection, clock)
        await finished_jobs(connection, 2)
        await dropped(connection)
        await seal_all(connection)
        left = await whole_log(connection)
        assert inversions(left) == 0
        assert len(left) > 20
        assert await connection.fetchval(BLOCKS) < 15
        await later(connection, clock)
        # Nothing was merged yet when this reader came here.
        await connection.fetchval("select jobledger.merge_blocks(0::smallint, 0, 1000)")
        for stood in [one.place for one in left if one.place.block > left[-1].place.block - 8]:
            assert facts(await read_on(connection, stood)) == facts([one for one in left if one.place > stood])


async def with_stragglers(connection: Connection, straggler: Connection) -> None:
    """Write jobs and control events, some of which come late, alone or with others: below what was sealed before."""
    pause = "select jobledger.pause(0::smallint, 'queue', $1, 'ada')"
    for number in range(12):
        await finished_jobs(connection, 1)
        if number in (3, 7):
            await straggler.execute("begin")
            await straggler.execute(pause, f"late{number}")
        if number in (1, 5):
            await straggler.execute("begin; select jobledger.enqueue('noop')")
        await connection.execute(pause, f"q{number}")
        await seal(connection, 0)
        if number in (2, 4, 6, 8):
            await straggler.execute("commit")
            if number == 8:
                await connection.execute(pause, "beside")
            await seal(connection, 0)
    await connection.execute(
        "select jobledger.act(0::smallint, 'cancel', null, array(select id from jobledger.ready), 'ada', 'y')"
    )


async def test_merging_leaves_every_reader_where_it_stands(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor of a page's end or of any event goes on behind it, whatever was merged over it."""

    async def nothing(*_: object) -> int:
        return 0

    async with store.connection() as connection, store.connection() as straggler:
        await with_stragglers(connection, straggler)
        await later(connection, clock)
        await finished_jobs(connection, 1)
        with monkeypatch.context() as patched:
            patched.setattr("jobledger.order.retention._merge", nothing)
            assert None in (await dropped(connection)).values()
        stood = [Place()]
        for limit in (1, 2, 5):
            place = Place()
            while True:
                page = await read_page(connection, 0, place, limit=limit)
                if page.reached == place:
                    break
                place = page.reached
                stood.append(place)
        ends = "select block, last_position, jobledger.told_epoch(0::smallint, block, epoch) from jobledger.blocks"
        stood += [Place(*row.values()) for row in await connection.fetch(ends)]
        left = await whole_log(connection)
        rows = await connection.fetchval(BLOCKS)
        assert await connection.fetchval("select gone from jobledger.merge_blocks(0::smallint, 0, 1000)") > 15
        assert await connection.fetchval(BLOCKS) < rows - 15
        for place in stood:
            assert facts(await read_on(connection, place)) == facts([one for one in left if one.place > place])


@pytest.mark.slow
async def test_a_partition_of_an_earlier_epoch_goes_too(store: Store, clock: Clock) -> None:
    """Its transaction ids mean nothing any more; what was carried over, or sealed before, lies before the horizon."""
    async with store.connection() as connection:
        await finished_jobs(connection, 3)
        await finished_jobs(connection, 2, sealed=False)
        await moved_elsewhere(connection)
        await open_store(store)
        await finished_jobs(connection, 3)
        before = (await whole_log(connection))[-2].place
        await later(connection, clock)
        young = await finished_jobs(connection, 2)
        end = await log_end(connection, 0)
        assert set((await dropped(connection)).values()) == {None}
        await seal_all(connection)
        left = await whole_log(connection)
        assert set(young) <= {one.event.stream_id for one in left}
        assert facts(await read_on(connection, end)) == facts([one for one in left if one.place > end])
        with pytest.raises(FeedReset):
            await read_page(connection, 0, before)
        assert await compare(connection, 0) == []


@pytest.mark.slow
async def test_only_the_owner_drops_and_one_at_a_time(store: Store, clock: Clock) -> None:
    """Another role is refused before anything; a second session is told that there is a first."""
    async with store.connection() as connection, store.connection() as other:
        await later(connection, clock)
        await other.fetchval("select pg_advisory_lock(hashtextextended('jobledger.partitions', 0))")
        with pytest.raises(Unavailable):
            await dropped(connection)
        await other.fetchval("select pg_advisory_unlock_all()")
        await connection.execute("set role jobledger_operator")
        with pytest.raises(Forbidden):
            await dropped(connection)
        await connection.execute("reset role")
        assert set((await dropped(connection)).values()) == {None}


async def test_a_batch_that_is_being_folded_is_waited_for(store: Store, clock: Clock) -> None:
    """Else a fold that was let in before the horizon moved would not be shown, or be shown twice, what it took."""
    async with store.connection() as connection, store.connection() as folding:
        jobs = await finished_jobs(connection, 3)
        await later(connection, clock)
        await finished_jobs(connection, 1)
        name = await connection.fetchval("select 'events_' || to_char(jobledger.time_of($1), 'YYYY_MM')", jobs[0])
        await connection.fetchval("select jobledger.projection_begin(0::smallint, 'seen', 1)")
        await connection.fetchval("select jobledger.projection_make(0::smallint, 'seen', false, 1)")
        await connection.execute("set lock_timeout = '100ms'")
        async with folding.transaction():
            batch = await folding.fetchrow("select * from jobledger.projection_take(0::smallint, 'seen', false)")
            for step in (f"retire(0::smallint, '{name}', null)", "merge_blocks(0::smallint, 0, 100)"):
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await connection.fetch(f"select jobledger.{step}")
            seen = "select count(*) from jobledger.sealed_between(0::smallint, $1, $2)"
            assert batch is not None
            assert not batch["more"]
            assert await folding.fetchval(seen, batch["after"], batch["upto"]) == batch["events"]
        assert await connection.fetchval("select jobledger.retire(0::smallint, $1, null)", name) is None


async def test_counts_of_a_moment_that_retention_took_events_of_are_refused(store: Store, clock: Clock) -> None:
    """Dropped jobs are in stored levels alone: beyond the last of them before the moment nobody knows what they did."""
    async with store.connection() as connection:
        await finished_jobs(connection, 2)
        await Runner(store, built_in()).settle()
        sealed_at = await connection.fetchval("select max(sealed_at) from jobledger.blocks")
        before = await counts_as_of(connection, 0, sealed_at)
        assert [(one.state, one.jobs) for one in before.counts] == [("cancelled", 2)]
        await later(connection, clock)
        await finished_jobs(connection, 1)
        await Runner(store, built_in()).settle()
        assert None in (await dropped(connection)).values()
        with pytest.raises(MomentLost):
            await counts_as_of(connection, 0, sealed_at)
        now = await counts_as_of(connection, 0, await clock.now())
        assert [(one.state, one.jobs) for one in now.counts] == [("cancelled", 3)]
        # A cursor that was given since carries the number of drops, and is a moment all the same.
        assert await connection.fetchval(OF_HORIZON)
