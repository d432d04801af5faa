-- The events of one job: $1 shard, $2 id, $3 tenant or null for any, $4 after this version, $5 rows, $6 owner or null for any: what the job was enqueued with, which never changes.
select e.shard, e.position, e.stream_id, e.version, e.type::text as type, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text as data
from jobledger.events as e
where e.shard = $1::smallint and e.stream_id = $2::uuid and e.version > $4::int and ($3::text is null or e.tenant = $3)
  and ($6::text is null or exists (select from jobledger.events as f where f.shard = $1::smallint and f.stream_id = $2::uuid and f.version = 1 and f.data ->> 'owner' = $6))
order by e.version limit $5::int
