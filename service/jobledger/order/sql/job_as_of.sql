-- One job as of a moment: $1 shard, $2 id, $3 the moment, $4 tenant or null for any. No row: there was none, or it is another tenant's.
select (j.job).id, (j.job).tenant, (j.job).queue, (j.job).kind, (j.job).state::text as state, (j.job).priority, (j.job).attempt, (j.job).max_attempts, (j.job).owner, (j.job).head,
  (j.job).run_at, (j.job).kill_at, (j.job).worker, (j.job).claim, (j.job).claimed_at, (j.job).finished_at, (j.job).reason, (j.job).enqueued_at,
  j.enqueued, j.enqueued_by, j.last_type, j.last_data, j.last_at, j.last_actor, j.progress
from jobledger.job_as_of($1::smallint, $2::uuid, pg_catalog.jsonb_populate_record(null::jobledger.moment, $3::text::jsonb), $4::text) as j
