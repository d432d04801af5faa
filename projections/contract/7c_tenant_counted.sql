-- The open jobs of a tenant as the projection has counted them, by state, queue and kind, named by the clock: what is due later is scheduled. Bounded by how many queues, kinds and
-- minutes there are, not by the jobs; only those due in this very minute are looked at one by one.
create or replace function jobledger.tenant_counted(p_shard smallint, p_tenant text, p_now timestamptz) returns jsonb
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
  v_minute timestamptz := date_bin('1 minute', p_now, 'epoch');
begin
  return (
    with put_off as (
      select d.queue, d.kind, sum(d.count) as jobs from (
        select x.queue, x.kind, x.count from jobledger_tenants.due as x where x.shard = p_shard and x.tenant = p_tenant and x.minute > v_minute
        union all
        select x.queue, x.kind, x.delta from generate_series(0, 36) as c cross join lateral (
          select y.queue, y.kind, y.delta from jobledger_tenants.delayed as y
          where y.shard = p_shard and y.tenant = p_tenant and y.class = c::smallint and y.run_at > p_now and y.run_at < v_minute + interval '1 minute') as x
      ) as d group by d.queue, d.kind
    ), counted as (
      select l.state, l.queue, l.kind, l.count as jobs from jobledger_tenants.levels as l where l.shard = p_shard and l.tenant = p_tenant and l.state < 'succeeded' and l.count > 0
      union all
      select c.state, d.queue, d.kind, d.jobs * c.sign from put_off as d cross join (values ('ready'::jobledger.job_state, -1), ('scheduled', 1)) as c (state, sign)
    )
    select coalesce(jsonb_agg(jsonb_build_object('state', s.state, 'queue', s.queue, 'kind', s.kind, 'jobs', s.jobs) order by s.state, s.queue, s.kind), '[]')
    from (select c.state, c.queue, c.kind, sum(c.jobs) as jobs from counted as c group by c.state, c.queue, c.kind having sum(c.jobs) > 0) as s
  );
end
$$;
