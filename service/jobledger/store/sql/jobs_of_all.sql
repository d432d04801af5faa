-- Every tenant's newest jobs below an id, at most $4 looked at, and of them those that fit: $1 shard, $2 states, $3 below this id, $4 rows to look at,
-- $5 queue, $6 kind, $7 owner, $8 tag, $9 rows to return, $10 whether it is to be
-- said what the statement saw. Walks the primary keys of the tables that hold such states: one that is rare in its table is found only among the rows looked at.
-- From the tables, not the view: the view names a state by the clock, which would have all that waits read and sorted.
-- `offset 0`: pulled up into the join, what was seen would be looked up though nobody asked.
with t as materialized (
  select jobledger.now() as now
), seen as materialized (
  select j.*
  from t
  cross join lateral (
    (select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
      from jobledger.ready as r where 'ready' = any ($2::text[]) and r.shard = $1::smallint and r.id < $3::uuid order by r.shard desc, r.id desc limit $4::int)
    union all
    (select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end as state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
      from jobledger.waiting as w where $2::text[] && '{scheduled,blocked,ready,suspended,parked}' and w.shard = $1::smallint and w.id < $3::uuid order by w.shard desc, w.id desc limit $4::int)
    union all
    (select g.shard, g.id, g.tenant, g.queue, g.kind, 'running' as state, g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
      from jobledger.running as g where 'running' = any ($2::text[]) and g.shard = $1::smallint and g.id < $3::uuid order by g.shard desc, g.id desc limit $4::int)
    union all
    (select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null, null, null, null, null, f.finished_at, null
      from jobledger.finished as f where $2::text[] && '{succeeded,failed,killed,cancelled}' and f.shard = $1::smallint and f.id < $3::uuid order by f.shard desc, f.id desc limit $4::int)
  ) as j
  order by j.id desc limit $4::int
)
select s.id, s.tenant, s.queue, s.kind, s.state::text as state, s.priority, s.attempt, s.max_attempts, s.owner, s.head, s.run_at, s.kill_at, s.worker, s.claim,
  s.claimed_at, s.finished_at, s.reason, jobledger.time_of(s.id) as enqueued_at, l.looked_at, l.last_id,
  q.epoch as seen_epoch, q.mark as seen_mark, q.block as seen_block, q.position as seen_position, q.snapshot as seen_snapshot, t.now as seen_at
from t
cross join (select pg_catalog.count(*) as looked_at, pg_catalog.min(m.id::text)::uuid as last_id from seen as m) as l
left join lateral (select x.* from jobledger.seen($1::smallint) as x where $10::boolean offset 0) as q on true
left join lateral (
  select f.* from seen as f
  where f.state = any ($2::text[]::jobledger.job_state[])
    and ($5::text is null or f.queue = $5) and ($6::text is null or f.kind = $6) and ($7::text is null or f.owner = $7)
    and ($8::text is null or exists (
      select from jobledger.events as e where e.shard = f.shard and e.stream_id = f.id and e.version = 1 and e.data -> 'tags' ? $8))
  order by f.id desc limit $9::int
) as s on true
order by s.id desc
