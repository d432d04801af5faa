-- One job: what it was enqueued with, its last progress, and how its last attempt ended: $1 shard, $2 id, $3 tenant or null for any, $4 whether it is to be said what the statement saw.
-- An id of another tenant answers like one that does not exist: no row.
-- From the tables, not the view: that reads the clock by itself, and the state is to be named by the very clock that the answer tells.
-- `offset 0`: pulled up into the join, what was seen would be looked up though nobody asked.
with t as materialized (
  select jobledger.now() as now
)
select j.id, j.tenant, j.queue, j.kind, j.state::text as state, j.priority, j.attempt, j.max_attempts, j.owner, j.head, j.run_at, j.kill_at, j.worker, j.claim,
  j.claimed_at, j.finished_at, j.reason, jobledger.time_of(j.id) as enqueued_at, first.data::text as enqueued, first.actor as enqueued_by,
  last.type::text as last_type, last.data::text as last_data, last.at as last_at, last.actor as last_actor, progress.data::text as progress,
  q.epoch as seen_epoch, q.mark as seen_mark, q.block as seen_block, q.position as seen_position, q.snapshot as seen_snapshot, t.now as seen_at
from t
cross join lateral (
  select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
  from jobledger.ready as r where r.shard = $1::smallint and r.id = $2::uuid
  union all
  select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
  from jobledger.waiting as w where w.shard = $1::smallint and w.id = $2::uuid
  union all
  select g.shard, g.id, g.tenant, g.queue, g.kind, 'running', g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
  from jobledger.running as g where g.shard = $1::smallint and g.id = $2::uuid
  union all
  select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null, null, null, null, null, f.finished_at, null
  from jobledger.finished as f where f.shard = $1::smallint and f.id = $2::uuid
) as j
left join lateral (select x.* from jobledger.seen($1::smallint) as x where $4::boolean offset 0) as q on true
left join lateral (
  select e.data, e.actor from jobledger.events as e where e.shard = $1::smallint and e.stream_id = $2::uuid and e.version = 1 offset 0
) as first on true
left join lateral (
  select e.type, e.data, e.at, e.actor from jobledger.events as e
  where e.shard = $1::smallint and e.stream_id = $2::uuid
    and e.type in ('job.succeeded', 'job.failed', 'job.lease_expired', 'job.snoozed', 'job.interrupted', 'job.released', 'job.parked', 'job.cancelled', 'job.killed')
  order by e.version desc limit 1
) as last on true
left join lateral (
  select e.data from jobledger.events as e
  where e.shard = $1::smallint and e.stream_id = $2::uuid and e.type = 'job.progressed' and e.version > coalesce(j.claim, 0)
  order by e.version desc limit 1
) as progress on true
where $3::text is null or j.tenant = $3
