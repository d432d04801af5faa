-- What kind jobs are of, by their first event: $1 shard, $2 ids.
select e.stream_id as id, e.data ->> 'kind' as kind
from pg_catalog.unnest($2::uuid[]) as i (id)
cross join lateral (
  select x.stream_id, x.data from jobledger.events as x where x.shard = $1::smallint and x.stream_id = i.id and x.version = 1 and x.type = 'job.enqueued' offset 0
) as e
