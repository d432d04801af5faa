-- The open jobs of one owner below an id, exact at any size: the live tables have an index for it, and no finished row is in an open state.
-- $1 shard, $2 tenant, $3 owner, $4 states (open ones), $5 below this id, $6 queue, $7 kind, $8 tag, $9 rows to return.
select v.id, v.tenant, v.queue, v.kind, v.state::text as state, v.priority, v.attempt, v.max_attempts, v.owner, v.head, v.run_at, v.kill_at, v.worker, v.claim,
  v.claimed_at, v.finished_at, v.reason, v.enqueued_at
from jobledger.jobs as v
where v.shard = $1::smallint and v.tenant = $2::text and v.owner = $3::text and v.state = any ($4::text[]::jobledger.job_state[]) and v.id < $5::uuid
  and ($6::text is null or v.queue = $6) and ($7::text is null or v.kind = $7)
  and ($8::text is null or exists (
    select from jobledger.events as e where e.shard = v.shard and e.stream_id = v.id and e.version = 1 and e.data -> 'tags' ? $8))
order by v.id desc limit $9::int
