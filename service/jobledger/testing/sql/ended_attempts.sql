-- How attempts ended since a position, in their order: $1 shard, $2 position. The kind is on the stream's first event.
select e.stream_id as job, e.tenant, first.data ->> 'kind' as kind, e.attempt::int as attempt, e.type::text as type, e.data::text as data
from jobledger.events as e
join jobledger.events as first on first.shard = e.shard and first.stream_id = e.stream_id and first.version = 1
where e.shard = $1::smallint and e.position > $2::bigint
  and e.type in ('job.succeeded', 'job.failed', 'job.snoozed', 'job.parked', 'job.cancelled', 'job.killed', 'job.interrupted', 'job.lease_expired')
order by e.position
