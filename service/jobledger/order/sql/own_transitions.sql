-- The events of a tenant's jobs, for a role that is bound to tenants and so does not see the order of the log: in the order in which they were appended. Row security leaves
-- only what the role may see. Each job is found by its row and read by its key, so nobody else's events are read.
-- $1 shard, $2 tenant or null for all of the role's, $3 job or null, $4 from this time on, $5 before this time, $6 types, $7 queue, as it was enqueued, $8 owner.
select e.shard, e.position, e.stream_id, e.version, e.type::text as type, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text as data
from jobledger.jobs as j
cross join lateral (
  select x.* from jobledger.events as x where x.shard = j.shard and x.stream_id = j.id
    and ($4::timestamptz is null or x.at >= $4) and ($5::timestamptz is null or x.at < $5) and ($6::text[] is null or x.type::text = any ($6)) offset 0
) as e
where j.shard = $1::smallint and ($2::text is null or j.tenant = $2) and ($3::uuid is null or j.id = $3) and ($8::text is null or j.owner = $8)
  and ($7::text is null or exists (
    select from jobledger.events as f where f.shard = j.shard and f.stream_id = j.id and f.version = 1 and coalesce(f.data ->> 'queue', 'default') = $7
  ))
order by e.position
