-- The jobs of one owner below an id. The open ones are exact at any size: the live tables have an index for it. Of the finished ones at most $10 of the tenant's newest are looked at, in
-- their states, and where that ends the open ones end too: the next page goes on there. One statement, so that a job which ends meanwhile is neither missed nor shown twice.
-- `is true` keeps the primary keys away, by which everybody's open jobs would be read.
-- $1 shard, $2 tenant, $3 owner, $4 states, $5 below this id, $6 queue, $7 kind, $8 tag, $9 rows to return, $10 finished rows to look at, $11 whether it is to be said what the statement saw.
-- `offset 0`: pulled up into the join, what was seen would be looked up though nobody asked.
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
), over as materialized (
  select v.* from pg_catalog.unnest($4::text[]::jobledger.job_state[]) as s (state)
  cross join lateral (
    select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null::timestamptz as run_at, null::timestamptz as kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, f.finished_at, null::text as reason
    from jobledger.finished as f where f.state = s.state and s.state in ('succeeded', 'failed', 'killed', 'cancelled')
      and (f.shard = $1::smallint) is true and f.tenant = $2::text and (f.tenant, f.state, f.id) < ($2::text, s.state, $5::uuid) order by f.id desc limit $10::int
  ) as v
  order by v.id desc limit $10::int
)
select s.id, s.tenant, s.queue, s.kind, s.state::text as state, s.priority, s.attempt, s.max_attempts, s.owner, s.head, s.run_at, s.kill_at, s.worker, s.claim,
  s.claimed_at, s.finished_at, s.reason, jobledger.time_of(s.id) as enqueued_at, l.looked_at, l.last_id,
  q.epoch as seen_epoch, q.mark as seen_mark, q.block as seen_block, q.position as seen_position, q.snapshot as seen_snapshot, t.now as seen_at
from t
cross join (select pg_catalog.count(*) as looked_at, pg_catalog.min(m.id::text)::uuid as last_id from over as m) as l
left join lateral (select x.* from jobledger.seen($1::smallint) as x where $11::boolean offset 0) as q on true
left join lateral (
  select v.* from (
    select o.* from owned as o where o.state = any ($4::text[]::jobledger.job_state[]) and o.id < $5::uuid and (l.looked_at < $10::int or o.id > l.last_id)
    union all
    select f.* from over as f where f.owner = $3::text
  ) as v
  where ($6::text is null or v.queue = $6) and ($7::text is null or v.kind = $7)
    and ($8::text is null or exists (
      select from jobledger.events as e where e.shard = v.shard and e.stream_id = v.id and e.version = 1 and e.data -> 'tags' ? $8))
  order by v.id desc limit $9::int
) as s on true
order by s.id desc
