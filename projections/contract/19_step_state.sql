-- The state that a job's event leads to, whatever was before: the states of `evolve`. Null for events that leave it as it is (also job.moved), and for those of other streams.
create or replace function jobledger.step_state(p_type jobledger.event_type, p_data jsonb) returns jobledger.job_state
language sql immutable parallel safe
as $$
  select case
    when p_type = 'job.claimed' then 'running'::jobledger.job_state
    when p_type = 'job.succeeded' then 'succeeded'
    when p_type in ('job.failed', 'job.lease_expired') then case when p_data ? 'retry_at' then 'ready'::jobledger.job_state else 'failed' end
    when p_type in ('job.enqueued', 'job.snoozed', 'job.interrupted', 'job.released', 'job.unparked', 'job.retried', 'job.rescheduled') then 'ready'
    when p_type = 'job.parked' then 'parked'
    when p_type = 'job.killed' then 'killed'
    when p_type = 'job.cancelled' then 'cancelled' end
$$;
