-- A tenant's newest jobs below an id, by state, at most $5 looked at, and of them those that fit: $1 shard, $2 tenant, $3 states, $4 below this id, $5 rows to look at,
-- $6 queue, $7 kind, $8 owner, $9 tag, $10 rows to return, $11 whether every state
-- of a waiting job is asked for, $12 whether it is to be said what the statement saw. Each state is read by itself from its index and the parts are merged: an `any` over states would lose the order.
-- Rows are compared as the index has them (`(tenant, id) < …`, and `is true`), which keeps a table without statistics from being read by its primary key.
-- From the tables, not the view: the view names a state by the clock, which no index knows. A due job that no tick has promoted yet is found by its time.
-- `offset 0`: pulled up into the join, what was seen would be looked up though nobody asked.
with t as materialized (
  select jobledger.now() as now
), due as materialized (
  select w.* from jobledger.waiting as w, t
  where 'ready' = any ($3::text[]) and not 'scheduled' = any ($3::text[]) and w.wake_at <= t.now order by w.wake_at limit 10000
), seen as materialized (
  select j.*
  from t
  cross join pg_catalog.unnest($3::text[]::jobledger.job_state[]) as s (state)
  cross join lateral (
    (select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
      from jobledger.ready as r where s.state = 'ready' and (r.shard = $1::smallint) is true and r.tenant = $2::text and (r.tenant, r.id) < ($2::text, $4::uuid) order by r.id desc limit $5::int)
    union all
    (select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end as state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
      from jobledger.waiting as w where not $11::boolean and w.state = s.state and s.state in ('scheduled', 'blocked', 'ready', 'suspended', 'parked')
        and (w.shard = $1::smallint) is true and w.tenant = $2::text and (w.tenant, w.state, w.id) < ($2::text, s.state, $4::uuid) order by w.id desc limit $5::int)
    union all
    (select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end as state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
      from jobledger.waiting as w where $11::boolean and s.state = 'scheduled' and w.shard = $1::smallint and w.tenant = $2::text and w.id < $4::uuid order by w.id desc limit $5::int)
    union all
    (select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= t.now then 'ready' else w.state end as state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
      from due as w where s.state = 'ready' and w.state = 'scheduled' and w.shard = $1::smallint and w.tenant = $2::text and w.id < $4::uuid order by w.id desc limit $5::int)
    union all
    (select g.shard, g.id, g.tenant, g.queue, g.kind, 'running' as state, g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
      from jobledger.running as g where s.state = 'running' and (g.shard = $1::smallint) is true and g.tenant = $2::text and (g.tenant, g.id) < ($2::text, $4::uuid) order by g.id desc limit $5::int)
    union all
    (select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null, null, null, null, null, f.finished_at, null
      from jobledger.finished as f where f.state = s.state and (f.shard = $1::smallint) is true and f.tenant = $2::text and (f.tenant, f.state, f.id) < ($2::text, s.state, $4::uuid) order by f.id desc limit $5::int)
  ) as j
  order by j.id desc limit $5::int
)
select s.id, s.tenant, s.queue, s.kind, s.state::text as state, s.priority, s.attempt, s.max_attempts, s.owner, s.head, s.run_at, s.kill_at, s.worker, s.claim,
  s.claimed_at, s.finished_at, s.reason, jobledger.time_of(s.id) as enqueued_at, l.looked_at, l.last_id,
  q.epoch as seen_epoch, q.mark as seen_mark, q.block as seen_block, q.position as seen_position, q.snapshot as seen_snapshot, t.now as seen_at
from t
cross join (select pg_catalog.count(*) as looked_at, pg_catalog.min(m.id::text)::uuid as last_id from seen as m) as l
left join lateral (select x.* from jobledger.seen($1::smallint) as x where $12::boolean offset 0) as q on true
left join lateral (
  select f.* from seen as f
  where f.state = any ($3::text[]::jobledger.job_state[])
    and ($6::text is null or f.queue = $6) and ($7::text is null or f.kind = $7) and ($8::text is null or f.owner = $8)
    and ($9::text is null or exists (
      select from jobledger.events as e where e.shard = f.shard and e.stream_id = f.id and e.version = 1 and e.data -> 'tags' ? $9))
  order by f.id desc limit $10::int
) as s on true
order by s.id desc
