-- What may be told of jobs outside: where they stand, when what happened, the last progress of the attempt, how they ended. Neither arguments, workers nor tracebacks are read.
-- $1 shard, $2 ids. An attempt that is to be made again tells no progress, and no error: the job waits.
-- Without bounds: beside them, before Postgres 17, the list may become a filter over all that lies between.
select j.id, j.tenant, j.kind, j.owner, j.state::text as state, j.enqueued_at, j.run_at, j.finished_at, began.at as began_at,
  ended.type::text as ended_type, (ended.data -> 'result')::text as result, ended.data #>> '{error,type}' as error_type, ended.data #>> '{error,class}' as error_class,
  told.data::text as progress
from jobledger.jobs as j
left join lateral (
  select e.at, e.version from jobledger.events as e
  where e.shard = $1::smallint and e.stream_id = j.id and e.type = 'job.claimed' and j.state in ('running', 'succeeded', 'failed', 'killed', 'cancelled')
  order by e.version desc limit 1
) as began on true
left join lateral (
  select e.type, e.data from jobledger.events as e
  where e.shard = $1::smallint and e.stream_id = j.id and j.state in ('succeeded', 'failed', 'killed', 'cancelled')
    and e.type in ('job.succeeded', 'job.failed', 'job.lease_expired', 'job.cancelled', 'job.killed')
  order by e.version desc limit 1
) as ended on true
left join lateral (
  select e.data from jobledger.events as e
  where e.shard = $1::smallint and e.stream_id = j.id and e.type = 'job.progressed' and e.version > began.version
  order by e.version desc limit 1
) as told on true
where j.shard = $1::smallint and j.id = any ($2::uuid[])
