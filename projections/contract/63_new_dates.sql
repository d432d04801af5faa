-- The run and kill date that a reschedule or retry states: the date asked for, else counted anew from the new run_at by the rule that holds for the job now.
create or replace function jobledger.new_dates(s jobledger.folded, p_data jsonb, p_now timestamptz) returns jsonb
language sql stable
as $$
  select jsonb_build_object('run_at', t.run_at, 'kill_at', coalesce((p_data ->> 'kill_at')::timestamptz, greatest(t.run_at, p_now) + make_interval(secs => coalesce(d.kill_after, 604800))),
    'kill_rule', case when p_data ? 'kill_at' then 'own' else d.kill_rule end)
  from (select coalesce((p_data ->> 'run_at')::timestamptz, p_now) as run_at) as t, jobledger.job_defaults(s.shard, s.kind, s.tenant, s.queue) as d
$$;
