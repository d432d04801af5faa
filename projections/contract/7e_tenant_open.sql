-- The open jobs of a tenant by state, queue and kind, the oldest that is ready, why others wait, and what is paused. From the live tables while there are at most p_most of them, and then
-- exact for the caller's snapshot (source `live`). Counting more would take as long as there are many, so then it is what the projection has counted (source `counted`, a moment
-- behind): levels, and what is scheduled by the minute it is due in, of this minute job by job. What is oldest and why jobs wait is then looked up by index, p_most rows a reason at most
-- (`at_least`). The tenant's rows are found by indexes that begin with it, whatever the planner believes (`is true`).
create or replace function jobledger.tenant_open(p_shard smallint, p_tenant text, p_now timestamptz, p_most int) returns jsonb
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_rows bigint;
  v_open jsonb;
  v_oldest timestamptz;
  v_waits jsonb;
begin
  with job as materialized (
    select o.* from (
    (select 'ready'::jobledger.job_state as state, r.queue, r.kind, r.run_at, null::text as reason from jobledger.ready as r
      where (r.shard = p_shard) is true and r.tenant = p_tenant order by r.tenant, r.id limit p_most + 1)
    union all
    (select case when w.state = 'scheduled' and w.wake_at <= p_now then 'ready' else w.state end, w.queue, w.kind, w.run_at, w.reason from jobledger.waiting as w
      where (w.shard = p_shard) is true and w.tenant = p_tenant order by w.tenant, w.state, w.id limit p_most + 1)
    union all
    (select 'running', g.queue, g.kind, g.run_at, null from jobledger.running as g where (g.shard = p_shard) is true and g.tenant = p_tenant order by g.tenant, g.id limit p_most + 1)
    ) as o limit p_most + 1
  )
  select (select count(*) from job),
    (select jsonb_agg(jsonb_build_object('state', c.state, 'queue', c.queue, 'kind', c.kind, 'jobs', c.jobs) order by c.state, c.queue, c.kind)
      from (select j.state, j.queue, j.kind, count(*) as jobs from job as j group by j.state, j.queue, j.kind) as c),
    (select min(j.run_at) from job as j where j.state = 'ready'),
    (select jsonb_agg(jsonb_build_object('state', c.state, 'reason', c.reason, 'jobs', c.jobs, 'at_least', false) order by c.jobs desc, c.state, c.reason)
      from (select j.state, j.reason, count(*) as jobs from job as j where j.state in ('parked', 'blocked', 'suspended') or j.reason is not null group by j.state, j.reason order by 3 desc limit 50) as c)
  into v_rows, v_open, v_oldest, v_waits;
  if v_rows > p_most and to_regclass('jobledger_tenants.progress') is not null then
    v_open := jobledger.tenant_counted(p_shard, p_tenant, p_now);
    v_oldest := jobledger.tenant_oldest(p_shard, p_tenant, v_open, p_most);
    select jsonb_agg(jsonb_build_object('state', c.state, 'reason', c.reason, 'jobs', c.jobs, 'at_least', c.looked_at = p_most) order by c.jobs desc, c.state, c.reason) into v_waits from (
      select w.state, w.reason, count(*) as jobs, max(w.looked_at) as looked_at from (
        select x.state, x.reason, count(*) over (partition by x.state) as looked_at from (values ('ready'::jobledger.job_state), ('parked'), ('blocked'), ('suspended')) as s (state)
        cross join lateral (select y.state, y.reason from jobledger.waiting as y where (y.shard = p_shard) is true and y.tenant = p_tenant and y.state = s.state order by y.tenant, y.state, y.id limit p_most) as x
      ) as w group by w.state, w.reason order by 3 desc limit 50
    ) as c;
  end if;
  return jsonb_build_object('source', case when v_rows > p_most and to_regclass('jobledger_tenants.progress') is not null then 'counted' else 'live' end, 'counts', coalesce(v_open, '[]'),
    'oldest_ready', v_oldest, 'waits', coalesce(v_waits, '[]'), 'paused', coalesce((
      select jsonb_agg(jsonb_build_object('scope', l.scope, 'name', l.name, 'reason', l.reason, 'since', l.changed_at) order by l.scope desc, l.name) from (
        select 'tenant' as scope, p_tenant as name union select 'queue', o ->> 'queue' from jsonb_array_elements(v_open) as o union select 'kind', o ->> 'kind' from jsonb_array_elements(v_open) as o
      ) as n cross join lateral (select x.* from jobledger.limits as x where x.shard = p_shard and x.scope = n.scope and x.name = n.name and x.paused limit 1) as l), '[]'));
end
$$;
