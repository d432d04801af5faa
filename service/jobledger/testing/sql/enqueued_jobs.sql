-- What was enqueued, oldest first, at most 10,000: $1 shard, $2 kind or null.
select e.stream_id as job, e.tenant, e.actor, e.data::text as data
from jobledger.events as e
where e.shard = $1::smallint and e.type = 'job.enqueued' and ($2::text is null or e.data ->> 'kind' = $2::text)
order by e.position
limit 10000
