-- From when on what a job's event leads to holds: the time it is due at where it names a later one (the job is scheduled until then), else the event's own.
create or replace function jobledger.step_due(p_type jobledger.event_type, p_at timestamptz, p_data jsonb) returns timestamptz
language sql stable parallel safe
as $$
  select case
    when p_type in ('job.enqueued', 'job.snoozed', 'job.retried', 'job.rescheduled') then greatest(p_at, (p_data ->> 'run_at')::timestamptz)
    when p_type in ('job.failed', 'job.lease_expired') then greatest(p_at, (p_data ->> 'retry_at')::timestamptz)
    else p_at end
$$;
