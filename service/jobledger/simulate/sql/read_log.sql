-- What the log says of the jobs of one replay, one row a job: $1 shard, $2 ids, $3 and $4 the least and the greatest of them.
-- Reads the log and nothing else, because the check is about the log. `unwinding_s`: from the operator's request to the end of a cancelled job.
select
  stream_id as id,
  min(tenant) as tenant,
  min(position) as position,
  max((data -> 'args' ->> 'line')::int) filter (where type = 'job.enqueued') as line,
  max(case type when 'job.succeeded' then 'succeeded' when 'job.failed' then 'failed' when 'job.cancelled' then 'cancelled' when 'job.killed' then 'killed' end)
    filter (where type in ('job.succeeded', 'job.cancelled', 'job.killed') or type = 'job.failed' and not data ? 'retry_at') as outcome,
  max((data ->> 'ran')::float8) filter (where type in ('job.succeeded', 'job.failed', 'job.cancelled')) as ran_s,
  extract(epoch from max(at) filter (where type = 'job.cancelled') - max(at) filter (where type = 'job.cancel_requested'))::float8 as unwinding_s
from jobledger.events
where shard = $1 and stream_id = any($2::uuid[]) and stream_id >= $3 and stream_id <= $4
group by stream_id
