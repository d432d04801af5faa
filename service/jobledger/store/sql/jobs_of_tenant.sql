-- A tenant's newest jobs below an id, by state, at most $5 looked at, and of them those that fit: $1 shard, $2 tenant, $3 states, $4 below this id, $5 rows to look at,
-- $6 queue, $7 kind, $8 owner, $9 tag, $10 rows to return. Each state is read by itself from its index and the parts are merged: an `any` over states would lose the order.
with seen as materialized (
  select j.*
  from unnest($3::text[]::jobledger.job_state[]) as s (state)
  cross join lateral (
    select v.* from jobledger.jobs as v
    where v.shard = $1::smallint and v.tenant = $2::text and v.state = s.state and v.id < $4::uuid
    order by v.id desc limit $5::int
  ) as j
  order by j.id desc limit $5::int
)
select s.id, s.tenant, s.queue, s.kind, s.state::text as state, s.priority, s.attempt, s.max_attempts, s.owner, s.head, s.run_at, s.kill_at, s.worker, s.claim,
  s.claimed_at, s.finished_at, s.reason, s.enqueued_at, l.looked_at, l.last_id
from (select count(*) as looked_at, min(m.id::text)::uuid as last_id from seen as m) as l
left join lateral (
  select f.* from seen as f
  where ($6::text is null or f.queue = $6) and ($7::text is null or f.kind = $7) and ($8::text is null or f.owner = $8)
    and ($9::text is null or exists (
      select from jobledger.events as e where e.shard = f.shard and e.stream_id = f.id and e.version = 1 and e.data -> 'tags' ? $9))
  order by f.id desc limit $10::int
) as s on true
order by s.id desc
