-- How many jobs were in each state at the end of a slice, as a clock that shows p_now names the states: what is due later is scheduled. Of one tenant, or of all (null).
-- Each class of delays is read only as far as it reaches: a delay of at most 2^class seconds is of no interest to a moment further away.
create or replace function jobledger.levels_at(p_shard smallint, p_tenant text, p_slice bigint, p_now timestamptz) returns table (tenant text, queue text, kind text, state jobledger.job_state, jobs bigint)
language plpgsql stable set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with key as materialized (
    select l.tenant, l.queue, l.kind, l.state from jobledger_tenants.levels as l where l.shard = p_shard and (p_tenant is null or l.tenant = p_tenant)
  ), put_off as materialized (
    select t.tenant, d.queue, d.kind, sum(d.delta) as jobs from (select distinct k.tenant from key as k where k.state = 'ready') as t cross join generate_series(0, 36) as c
    cross join lateral (
      select x.queue, x.kind, x.delta from jobledger_tenants.delayed as x
      where x.shard = p_shard and x.tenant = t.tenant and x.class = c::smallint and x.run_at > p_now and x.block <= p_slice
        and x.run_at <= case c when 36 then 'infinity' else p_now + make_interval(secs => 1.001 * 2 ^ c) end
    ) as d group by t.tenant, d.queue, d.kind
  )
  select k.tenant, k.queue, k.kind, k.state, p.count from key as k cross join lateral (
    select x.count from jobledger_tenants.past_levels as x
    where x.shard = p_shard and x.tenant = k.tenant and x.queue = k.queue and x.kind = k.kind and x.state = k.state and x.block <= p_slice
    order by x.block desc limit 1
  ) as p
  union all
  select d.tenant, d.queue, d.kind, c.state, (d.jobs * c.sign)::bigint from put_off as d cross join (values ('ready'::jobledger.job_state, -1), ('scheduled', 1)) as c (state, sign);
end
$$;
