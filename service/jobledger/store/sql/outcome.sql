-- How a job stands, and its result or error once it has ended; no row: unknown to this caller. $1 shard, $2 id, $3 tenant or null for any.
-- The last ending counts: a job may have been retried after an earlier one, and redacted after the last.
select j.state::text as state, e.data ->> 'result' is not null as has_result, (e.data -> 'result')::text as result,
  e.type::text as type, e.data #>> '{error,type}' as error_type, e.data #>> '{error,class}' as error_class,
  e.data ->> 'rule' as rule, e.data ->> 'reason' as reason, e.actor, j.attempt, j.tenant, j.owner
from jobledger.jobs as j
left join lateral (
  select v.type, v.data, v.actor
  from jobledger.events as v
  where v.shard = j.shard and v.stream_id = j.id
    and v.type in ('job.succeeded', 'job.failed', 'job.lease_expired', 'job.cancelled', 'job.killed')
    and j.state in ('succeeded', 'failed', 'cancelled', 'killed')
  order by v.version desc
  limit 1
) as e on true
where j.shard = $1::smallint and j.id = $2::uuid and ($3::text is null or j.tenant = $3::text)
