-- One job: what it was enqueued with, its last progress, and how its last attempt ended: $1 shard, $2 id, $3 tenant or null for any.
-- An id of another tenant answers like one that does not exist: no row.
select j.id, j.tenant, j.queue, j.kind, j.state::text as state, j.priority, j.attempt, j.max_attempts, j.owner, j.head, j.run_at, j.kill_at, j.worker, j.claim,
  j.claimed_at, j.finished_at, j.reason, j.enqueued_at, first.data::text as enqueued, first.actor as enqueued_by,
  last.type::text as last_type, last.data::text as last_data, last.at as last_at, last.actor as last_actor, progress.data::text as progress
from jobledger.jobs as j
left join jobledger.events as first on first.shard = j.shard and first.stream_id = j.id and first.version = 1
left join lateral (
  select e.type, e.data, e.at, e.actor from jobledger.events as e
  where e.shard = j.shard and e.stream_id = j.id
    and e.type in ('job.succeeded', 'job.failed', 'job.lease_expired', 'job.snoozed', 'job.interrupted', 'job.released', 'job.parked', 'job.cancelled', 'job.killed')
  order by e.version desc limit 1
) as last on true
left join lateral (
  select e.data from jobledger.events as e
  where e.shard = j.shard and e.stream_id = j.id and e.type = 'job.progressed' and e.version > coalesce(j.claim, 0)
  order by e.version desc limit 1
) as progress on true
where j.shard = $1::smallint and j.id = $2::uuid and ($3::text is null or j.tenant = $3)
