-- The milliseconds from $2 to the first claim of each job of queue $1, by tenant.
select f.tenant, array_agg(extract(epoch from e.at - $2::timestamptz)::float8 * 1000) as waits_ms
from (
  select shard, id, tenant from jobledger.finished where queue = $1::text union all select shard, id, tenant from jobledger.running where queue = $1::text
) as f
join jobledger.events as e on e.shard = f.shard and e.stream_id = f.id and e.version = 2
group by f.tenant
