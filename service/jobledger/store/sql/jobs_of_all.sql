-- Every tenant's newest jobs below an id, at most $4 looked at, and of them those that fit: $1 shard, $2 states, $3 below this id, $4 rows to look at,
-- $5 queue, $6 kind, $7 owner, $8 tag, $9 rows to return. Walks the primary keys: a state that is rare is found only among the rows looked at.
with seen as materialized (
  select v.* from jobledger.jobs as v
  where v.shard = $1::smallint and v.id < $3::uuid
  order by v.id desc limit $4::int
)
select s.id, s.tenant, s.queue, s.kind, s.state::text as state, s.priority, s.attempt, s.max_attempts, s.owner, s.head, s.run_at, s.kill_at, s.worker, s.claim,
  s.claimed_at, s.finished_at, s.reason, s.enqueued_at, l.looked_at, l.last_id
from (select count(*) as looked_at, min(m.id::text)::uuid as last_id from seen as m) as l
left join lateral (
  select f.* from seen as f
  where f.state = any ($2::text[]::jobledger.job_state[])
    and ($5::text is null or f.queue = $5) and ($6::text is null or f.kind = $6) and ($7::text is null or f.owner = $7)
    and ($8::text is null or exists (
      select from jobledger.events as e where e.shard = f.shard and e.stream_id = f.id and e.version = 1 and e.data -> 'tags' ? $8))
  order by f.id desc limit $9::int
) as s on true
order by s.id desc
