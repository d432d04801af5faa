"""As of a moment: what a live answer said is said again, exactly; a time is answered by the block before it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.conftest import Desk
from tests.faults.conftest import until

from jobledger import Client
from jobledger.errors import Forbidden, InvalidArgument, JobGone, MomentLost, NotFound, NotOpen
from jobledger.lifecycle import fold
from jobledger.order.cursor import Place, cursors_for
from jobledger.order.log import log_end, read_page, seal
from jobledger.order.moment import Moments
from jobledger.order.sealer import Sealer
from jobledger.store.jobs_read import JobPage
from jobledger.store.recovery import open_store
from jobledger.store.seen import AsOf, Seen

from .record import ACTS, Acts, Record, look, said
from .stress import Writers, seal_all
from .test_epochs import moved_elsewhere, restored
from .test_retention import dropped, finished_jobs, later

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.embedded import Server
    from jobledger.store.pool import Store
    from jobledger.testing.clock import Clock

ALL = (
    *("enqueue", "later", "enqueue", "claim", "progress", "succeed", "pause", "enqueue", "resume", "fail", "wait"),
    *("wait", "enqueue", "claim", "park", "cancel", "move", "kill", "retry", "wait", "unpark", "tick", "wait", "tick"),
    *("later", "claim", "cancel", "enqueue", "cancel", "retry", "claim", "succeed", "enqueue", "kill"),
)


@pytest.fixture
async def desk(store: Store, database: str) -> AsyncIterator[Desk]:
    """Give a started worker that knows the kind `noop`."""
    connection = await asyncpg.connect(database)
    yield await Desk(store, connection).start(lease_s=3600)
    await connection.close()


async def test_answers_asked_again_by_their_tokens_are_the_same(store: Store, desk: Desk, clock: Clock) -> None:
    """Jobs in every state, each list and each job, while others write and are not committed: by token all is equal."""
    client = Client(store, strict=False)
    acts, record = Acts(desk, clock, "acme"), Record(client)
    async with store.transaction() as other:
        await other.execute("select jobledger.enqueue('noop', tenant => 'acme')")
        for name in ALL[:12]:
            await getattr(acts, name)()
            await record.page(tenant="acme")
        await look(record, "acme", acts.jobs)
    for nth, name in enumerate(ALL[12:]):
        await getattr(acts, name)()
        await record.page(tenant="acme")
        if nth % 4 == 0:
            await look(record, "acme", acts.jobs)
    states = {job.state for _, page in record.answers if not hasattr(page, "job") for job in page.jobs}
    assert states >= {"ready", "scheduled", "running", "parked", "succeeded", "cancelled", "killed"}
    assert await record.differing() == []


@given(st.lists(st.sampled_from(ACTS), min_size=4, max_size=14))
@settings(
    max_examples=5,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
async def test_any_acts_are_told_as_of_any_of_their_moments(
    store: Store, desk: Desk, clock: Clock, acts: list[str]
) -> None:
    """By token, and by the place of each event: the fold of the events up to it, however the moments lie."""
    client, tenant = Client(store, strict=False), f"t{uuid4().hex}"
    done, record = Acts(desk, clock, tenant), Record(client)
    await done.enqueue()
    for name in acts:
        await getattr(done, name)()
        await record.page(tenant=tenant)
        await record.job(done.jobs[-1])
    assert await record.differing() == []
    async with store.connection() as connection:
        await seal_all(connection)
        page = await read_page(connection, 0, Place(), tenant=tenant)
        cursors = await cursors_for(connection, tenant)
    events = [one for one in page.events if one.event.stream_id in done.jobs]
    for nth, one in enumerate(events, start=1):
        job = fold(each.event for each in events[:nth] if each.event.stream_id == one.event.stream_id)
        assert job is not None
        then = (await client.job(job.id, as_of=one.place.text())).job
        kept = ("head", "queue", "priority", "attempt", "max_attempts", "worker", "claim", "finished_at")
        assert [getattr(then, name) for name in kept] == [getattr(job, name) for name in kept]
        assert then.state in (job.state.value, "scheduled")
        earlier = {each.event.stream_id for each in events[:nth]}
        assert {each.id for each in (await client.jobs(tenant=tenant, as_of=cursors.write(one.place))).jobs} == earlier


async def test_a_time_means_the_last_block_sealed_by_then(store: Store, desk: Desk, database: str) -> None:
    """The answer names the block, is what was sealed up to it and no more, and stays so; a tenant is told no block."""
    client = Client(store, strict=False)
    job = await desk.enqueue(tenant="acme")
    late = await desk.enqueue(tenant="other", run_at=datetime.now(UTC) + timedelta(hours=1))
    async with store.connection() as connection:
        with pytest.raises(MomentLost):
            await client.jobs(as_of=datetime.now(UTC))
        await seal_all(connection)
        sealed = await log_end(connection, 0)
        await desk.act("cancel", [job])
        between = await connection.fetchval("select jobledger.now()")
        first = await client.job(job, as_of=between)
        await seal_all(connection)
        second = await client.job(job, as_of=between)
        later = await client.job(job, as_of=(await connection.fetchval("select jobledger.now()")).isoformat())
    assert first == second
    assert first.job.state == "ready"
    assert first.as_of is not None
    assert (first.as_of.block, first.as_of.at) == (sealed.block, between)
    assert later.job.state == "cancelled"
    mine = await client.job(job, tenant="acme", as_of=between)
    assert mine.job == first.job
    assert mine.as_of is not None
    assert (mine.as_of.block, mine.as_of.sealed_at) == (None, None)
    assert [one.state for one in (await client.jobs(tenant="acme", as_of=between)).jobs] == ["ready"]
    feed = client.events(tenant="acme", live=False)
    async for _ in feed:
        pass
    assert feed.cursor is not None
    assert (await client.job(job, tenant="acme", as_of=feed.cursor)).as_of == AsOf(feed.cursor, None)
    # Where times are written in a way that is not read as it was meant.
    other = await asyncpg.connect(database, server_settings={"DateStyle": "SQL, DMY", "TimeZone": "Asia/Kolkata"})
    assert (await Client(other, strict=False).job(late, as_of=between)).job == (
        await client.job(late, as_of=between)
    ).job
    assert (await client.job(late, as_of=between)).job.state == "scheduled"
    await other.close()
    for moment in (datetime.now(UTC) + timedelta(hours=1), "2026-01-01", "t", "0"):
        with pytest.raises(InvalidArgument):
            await client.job(job, as_of=moment)
    for moment in (datetime(1999, 1, 1, tzinfo=UTC), Place(99, 1, 1).text()):
        with pytest.raises(MomentLost):
            await client.job(job, as_of=moment)
    with pytest.raises(NotFound):
        await client.job(job, as_of=Place().text())


async def test_a_seal_under_way_is_waited_for(store: Store, desk: Desk, database: str) -> None:
    """A block whose clock was read and that is not committed yet is not overlooked: the answer would change later."""
    client = Client(store, strict=False)
    job = await desk.enqueue()
    async with store.connection() as connection:
        await seal_all(connection)
    await desk.act("cancel", [job])
    sealer = await asyncpg.connect(database)
    sealing = sealer.transaction()
    await sealing.start()
    await seal(sealer, 0)
    # Else who asks would give up after two seconds, which may be over before the seal is committed.
    await desk.sql.execute("alter function jobledger.moment_of_time set lock_timeout = '1min'")
    asked = asyncio.create_task(client.job(job, as_of=await desk.sql.fetchval("select jobledger.now()")))
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    while not await desk.sql.fetchval(waiting):
        assert not asked.done()
    await sealing.commit()
    assert (await asked).job.state == "cancelled"
    await sealer.close()


async def test_a_token_of_another_epoch_is_answered_or_refused(store: Store, desk: Desk) -> None:
    """What lay in the blocks of its epoch is told exactly; what was seen after the last of them is refused."""
    client = Client(store, strict=False)
    record, late = Record(client), Record(client)
    jobs = [await desk.enqueue(tenant="acme") for _ in range(3)]
    async with store.connection() as connection:
        await record.page(tenant="acme")
        await desk.act("cancel", jobs[:1])
        await record.page(tenant="acme")
        await record.job(jobs[0])
        await seal_all(connection)
        await desk.act("cancel", jobs[1:])
        seen = await late.page(tenant="acme")
        await moved_elsewhere(connection)
        assert seen.as_of is not None
        with pytest.raises(NotOpen):
            await client.jobs(tenant="acme", as_of=seen.as_of.moment)
        assert (await client.job(jobs[0], token=True)).as_of is None
        await open_store(store)
    assert await record.differing() == []
    with pytest.raises(MomentLost, match="another copy"):
        await client.jobs(tenant="acme", as_of=seen.as_of.moment)
    again = await client.jobs(tenant="acme", token=True)
    assert again.as_of is not None
    await desk.act("retry", jobs)
    assert (await client.jobs(tenant="acme", as_of=again.as_of.moment)).jobs == again.jobs


async def test_a_token_of_another_copy_or_of_what_was_lost_is_refused(store: Store, desk: Desk) -> None:
    """An epoch or a block that shares a number only; a snapshot ahead of the log, or of a transaction."""
    client = Client(store, strict=False)
    job = await desk.enqueue()
    async with store.connection() as connection:
        await seal_all(connection)
        answer = await client.job(job, token=True)
        assert answer.as_of is not None
        seen = Moments().read(answer.as_of.moment)
        assert isinstance(seen, Seen)
        # A transaction that left nothing: after a crash its id may be another's.
        await desk.sql.execute("begin; select pg_current_xact_id(); rollback")
        same = await client.job(job, token=True)
        assert same.as_of is not None
        assert same.as_of.at is not None
        assert Moments().read(same.as_of.moment) == seen._replace(at=same.as_of.at)
        ahead = f"{10**9}:{10**9}:"
        others = (
            seen._replace(mark=seen.mark ^ 1),
            seen._replace(mark=seen.mark ^ (1 << 40)),
            seen._replace(epoch=seen.epoch + 1),
            seen._replace(block=seen.block + 1),
            seen._replace(snapshot=ahead),
            seen._replace(position=seen.position + 1),
        )
        for other in others:
            token = Moments().token(other)
            assert token is not None
            with pytest.raises(MomentLost):
                await client.job(job, as_of=token.moment)
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("select 1")
            await desk.enqueue()
            late = await client.job(job, token=True)
            assert late.as_of is not None
            inside = Client(connection, strict=False)
            for moment in (late.as_of.moment, await desk.sql.fetchval("select jobledger.now()")):
                with pytest.raises(MomentLost):
                    async with connection.transaction():
                        await inside.job(job, as_of=moment)
        async with connection.transaction():
            await connection.execute("select jobledger.enqueue('noop')")
            assert (await Client(connection).job(job, token=True)).as_of is None


async def test_tokens_of_tenants_tell_nothing_and_are_their_own(store: Store, desk: Desk, database: str) -> None:
    """Encrypted, of one length beside a silent and a busy neighbour, good for one tenant; refused to a bound role."""
    client = Client(store, strict=False)
    job = await desk.enqueue(tenant="acme")
    silent = await client.job(job, tenant="acme", token=True)
    writers = [await asyncpg.connect(database) for _ in range(8)]
    for writer in writers:
        await writer.execute("begin; select pg_current_xact_id()")
    for _ in range(20):
        await desk.enqueue(tenant="other")
    busy = await client.job(job, tenant="acme", token=True)
    open_to_operators = await client.job(job, token=True)
    for writer in writers:
        await writer.close()
    assert silent.as_of is not None
    assert busy.as_of is not None
    assert len(silent.as_of.moment) == len(busy.as_of.moment)
    assert open_to_operators.as_of is not None
    assert isinstance(seen := Moments().read(open_to_operators.as_of.moment), Seen)
    assert seen.snapshot.count(",") == 7
    assert silent.as_of.moment[:1] == "u"
    assert (await client.job(job, tenant="acme", as_of=silent.as_of.moment)).job == silent.job
    plain = await client.job(job, token=True)
    assert plain.as_of is not None
    for tenant, moment in (
        ("other", silent.as_of.moment),
        (None, silent.as_of.moment),
        ("acme", plain.as_of.moment),
        ("acme", silent.as_of.moment[:-4] + "AAAA"),
        ("acme", Place(1, 1, 1).text()),
    ):
        with pytest.raises(InvalidArgument):
            await client.job(job, tenant=tenant, as_of=moment)
    await desk.sql.execute("create role bound login; grant jobledger_reader to bound")
    async with store.connection() as connection, connection.transaction():
        await connection.execute("set local role bound")
        bound = Client(connection)
        assert (await bound.jobs(token=True)).as_of is None
        with pytest.raises(Forbidden):
            async with connection.transaction():
                await bound.jobs(tenant="acme", token=True)
        with pytest.raises(Forbidden):
            await bound.jobs(as_of=plain.as_of.moment)
    await desk.sql.execute("drop role bound")


@given(
    st.integers(1, 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**62),
    st.lists(st.integers(3, 2**62), max_size=300, unique=True),
    st.datetimes(timezones=st.just(UTC)),
)
@settings(max_examples=40)
def test_a_token_holds_what_was_seen(epoch: int, mark: int, block: int, ids: list[int], at: datetime) -> None:
    """Whatever the snapshot: plain or encrypted, what is read is what was written."""
    under_way = sorted(ids)
    low, high = (under_way[0], under_way[-1] + 1) if under_way else (3, 9)
    seen = Seen(epoch, mark, block, mark % 2**40, f"{low}:{high}:{','.join(map(str, under_way))}", at)
    for moments in (Moments(), Moments(bytes(64), "acme")):
        token = moments.token(seen)
        assert token is not None
        assert moments.read(token.moment) == seen


async def test_what_a_dropped_partition_took_is_said(store: Store, desk: Desk, clock: Clock) -> None:
    """Its jobs are gone by name, lists say from when on there are any, and what is kept is told as of any moment."""
    client = Client(store, strict=False)
    async with store.connection() as connection:
        old = await finished_jobs(connection, 3)
        began = await clock.now()
        answer = await client.jobs(token=True)
        place = await log_end(connection, 0)
        await seal_all(connection)
        await later(connection, clock)
        mine = await desk.enqueue()
        await seal_all(connection)
        now = await client.jobs(token=True)
        assert answer.as_of is not None
        assert now.as_of is not None
        assert (await client.jobs(as_of=answer.as_of.moment)).jobs == answer.jobs
        assert (await client.jobs(as_of=answer.as_of.moment)).horizon is None
        await dropped(connection)
    assert now.as_of.at is not None
    for moment in (answer.as_of.moment, now.as_of.moment, now.as_of.at):
        with pytest.raises(JobGone):
            await client.job(old[0], as_of=moment)
        page = await client.jobs(as_of=moment)
        assert page.horizon is not None
        assert began < page.horizon
        assert page.horizon < now.as_of.at
        assert [job.id for job in page.jobs] == ([mine] if moment != answer.as_of.moment else [])
    with pytest.raises(MomentLost):
        await client.jobs(as_of=Place(place.block - 1, place.position - 1, place.epoch).text())


@pytest.mark.slow
async def test_tokens_after_a_restore_in_the_middle_of_a_run(two_phase: str, postgres: Server, template: str) -> None:
    """By each token the restored database answers the very same, or says that it cannot; the one it came from, all."""
    assert template, "whose migration made the roles on the other server"

    async def ask_on(record: Record) -> None:
        while True:
            await record.page(tenant="t1", limit=5)
            await record.page(tenant="t2", states=["ready"])
            await asyncio.sleep(0.01)

    async with Client(two_phase, strict=False) as client:
        record = Record(client)
        sealing = asyncio.create_task(Sealer(client.store).run())
        asking = asyncio.create_task(ask_on(record))
        writers = Writers(two_phase, straggle_s=0.3)
        writing = asyncio.create_task(writers.run(6, 100.0))
        await until(lambda: len(record.answers) > 50)
        dsn = await restored(two_phase, postgres)
        goal = len(record.answers) + 50
        await until(lambda: len(record.answers) > goal)
        writers.enough = True
        await writing
        asking.cancel()
        sealing.cancel()
        await asyncio.gather(asking, sealing, return_exceptions=True)
        assert await record.differing() == []
    async with Client(dsn, strict=False) as client:
        with pytest.raises(NotOpen):
            await client.jobs(as_of=datetime.now(UTC), tenant="t1")
        await open_store(client.store)
        await client.enqueue("noop", tenant="t1")
        same, lost = 0, 0
        for question, then in record.answers:
            assert then.as_of is not None
            assert isinstance(then, JobPage)
            try:
                now = await client.jobs(**question, as_of=then.as_of.moment)
            except MomentLost:
                lost += 1
            else:
                assert said(now) == said(then)
                same += 1
    assert same > 20
    assert lost > 20
