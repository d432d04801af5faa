-- A job as the view `jobs` shows it, from its fold and a clock. Why a ready job is held back is no event, so that is not told.
create or replace function jobledger.jobs_row(f jobledger.folded, p_now timestamptz) returns jobledger.jobs
language sql immutable
as $$
  select row(f.shard, f.id, f.tenant, f.queue, f.kind, jobledger.named_state(f.state, f.run_at, f.at, p_now), f.priority, f.attempt, f.max_attempts, f.owner, f.head,
    case when not d.done then f.run_at end, case when not d.done then f.kill_at end, f.worker, f.claim, f.claimed_at, case when d.done then f.at end,
    case when f.state = 'parked' then f.reason when f.state = 'running' and f.cancel_requested then 'cancel_requested' end, jobledger.time_of(f.id))::jobledger.jobs
  from (select f.state in ('succeeded', 'failed', 'killed', 'cancelled')) as d (done)
$$;
