"""Reports that come too late, by the thousand, from a worker with a long life."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.store.claim import Claimer
from jobledger.store.operate import act
from jobledger.store.reports import Report, report
from jobledger.store.workers import start_worker

if TYPE_CHECKING:
    from tests.faults.conftest import Ledger

    from jobledger.jobs import Client
    from jobledger.store.pool import Store

BEATS = """
with beat as (
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, worker, tenant, data)
  select nextval('jobledger.position'), pg_current_xact_id(), jobledger.now(), w.id, w.head + n, 'worker.heartbeat',
    0, w.id, '_global', jsonb_build_object('beat', n, 'held', '[]'::jsonb)
  from jobledger.workers as w, generate_series(1, 5000) as n where w.id = $1
)
update jobledger.workers set head = head + 5000 where id = $1
"""
READ = "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables where relname like 'events%'"


async def test_a_thousand_late_reports_cost_little_whatever_the_workers_life(
    store: Store, client: Client, ledger: Ledger
) -> None:
    """Each is recorded once, also when the batch comes twice, and the worker's stream is read once for all of them."""
    many = 1000
    handles = await client.enqueue_many([await client.call("short", {"ms": 0}) for _ in range(many)])
    jobs = sorted((handle.id for handle in handles), key=lambda id_: id_.bytes)
    async with store.connection() as connection:
        worker = (await start_worker(connection, 0, kinds=["short"], lease_s=600)).worker
        claimer = Claimer(store, worker, None, ["short"])
        taken = [job for call in (1, 2, 3) for job in await claimer.claim(500, {}, call)]
        assert len(taken) == many
        await connection.execute(BEATS, worker)
        assert {one.verdict for one in await act(connection, 0, "kill", jobs, actor="op", reason="late")} == {"done"}
        late = [Report(job.id, job.claim, "succeeded", None) for job in sorted(taken, key=lambda job: job.id.bytes)]
        async with connection.transaction():
            verdicts = await report(connection, 0, worker, late)
            read = await connection.fetchval(READ)
        assert {(one.verdict, one.state, one.reason) for one in verdicts} == {("rejected", "killed", "finished")}
        assert await report(connection, 0, worker, late) == verdicts
    recorded = "select data ->> 'job' from jobledger.events where type = 'worker.report_rejected' and stream_id = $1"
    assert sorted(row[0] for row in await ledger.fetch(recorded, worker)) == sorted(map(str, jobs))
    # Once the worker's 5,000 events, and some of each job's own; read anew for each report they were 5,000,000.
    assert 5000 <= read < 50_000
    notes = [(word, job.id, job.attempt) for job in taken for word in ("begun", "ended")]
    await ledger.agrees(jobs, notes, ends=["job.killed"])
