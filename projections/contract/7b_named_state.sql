-- The state of a ready or scheduled job by a clock, where no tick is known of: `scheduled` before its time, unless its own last event found it due (a clock was set back since).
create or replace function jobledger.named_state(p_state jobledger.job_state, p_run_at timestamptz, p_last_at timestamptz, p_now timestamptz) returns jobledger.job_state
language sql immutable parallel safe
as $$
  select case when p_state not in ('ready', 'scheduled') then p_state when p_run_at > greatest(p_last_at, p_now) then 'scheduled' else 'ready' end::jobledger.job_state
$$;
