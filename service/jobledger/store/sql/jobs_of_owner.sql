-- The open jobs of one owner below an id, exact at any size: the live tables have an index for it.
-- `is true` keeps the primary keys away, by which everybody's open jobs would be read.
-- $1 shard, $2 tenant, $3 owner, $4 states (open ones), $5 below this id, $6 queue, $7 kind, $8 tag, $9 rows to return.
with t as materialized (
  select jobledger.now() as now
), owned as materialized (
  select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
  from jobledger.ready as r where (r.shard = $1::smallint) is true and r.tenant = $2::text and r.owner = $3::text
  union all
  select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end as state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
  from t, jobledger.waiting as w where (w.shard = $1::smallint) is true and w.tenant = $2::text and w.owner = $3::text
  union all
  select g.shard, g.id, g.tenant, g.queue, g.kind, 'running' as state, g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
  from jobledger.running as g where (g.shard = $1::smallint) is true and g.tenant = $2::text and g.owner = $3::text
)
select v.id, v.tenant, v.queue, v.kind, v.state::text as state, v.priority, v.attempt, v.max_attempts, v.owner, v.head, v.run_at, v.kill_at, v.worker, v.claim,
  v.claimed_at, v.finished_at, v.reason, jobledger.time_of(v.id) as enqueued_at
from owned as v
where v.state = any ($4::text[]::jobledger.job_state[]) and v.id < $5::uuid and ($6::text is null or v.queue = $6) and ($7::text is null or v.kind = $7)
  and ($8::text is null or exists (
    select from jobledger.events as e where e.shard = v.shard and e.stream_id = v.id and e.version = 1 and e.data -> 'tags' ? $8))
order by v.id desc limit $9::int
