-- The jobs that fitted at a moment, newest first: $1 shard, $2 the moment, $3 tenant or null for all, $4 states, $5 below this id, $6 rows to return, $7 queue, $8 kind, $9 owner, $10 tag.
-- The last row has no job; it says how many were looked at, the last of them, and from when on jobs are kept, null if all are.
select (j.job).id, (j.job).tenant, (j.job).queue, (j.job).kind, (j.job).state::text as state, (j.job).priority, (j.job).attempt, (j.job).max_attempts, (j.job).owner, (j.job).head,
  (j.job).run_at, (j.job).kill_at, (j.job).worker, (j.job).claim, (j.job).claimed_at, (j.job).finished_at, (j.job).reason, (j.job).enqueued_at, j.looked_at, j.last_id, j.horizon
from jobledger.jobs_as_of($1::smallint, pg_catalog.jsonb_populate_record(null::jobledger.moment, $2::text::jsonb), $3::text, $4::text[], $5::uuid, $6::int, p_queue => $7::text, p_kind => $8::text, p_owner => $9::text, p_tag => $10::text) as j
