-- The lanes of a claim, with up to p_most new ones put first: those found in the given gaps between known lanes, and in queues nobody named (where the worker takes any).
-- One descent of the index a gap and a lane found (a worker bound to tenants jumps from one of its own to the next); its bounds are known lanes or the ends (('', -32768) and ('~', 0), which no name reaches), so the dead entries of known lanes are never read.
drop function if exists jobledger.with_new_lanes;

create function jobledger.with_new_lanes(
  p_queues text[], p_any_queue boolean,
  inout s_queue text[], inout s_tenant text[], inout s_priority smallint[], inout s_after_at timestamptz[], inout s_after_id uuid[], inout s_upto_at timestamptz[], inout s_upto_id uuid[],
  inout s_most int[], inout s_held int[], inout s_mixed boolean[],
  g_queue text[], g_tenant text[], g_priority smallint[], g_upto_tenant text[], g_upto_priority smallint[], p_most int, p_tenants text[],
  h_tenant text[], h_count int[]
)
language plpgsql stable
as $$
declare
  v_queue text := '';
  v_gap record;
  n_queue text[] := '{}';
  n_tenant text[] := '{}';
  n_priority smallint[] := '{}';
  n int;
begin
  if p_any_queue then
    loop
      select r.queue into v_queue from jobledger.ready as r where r.queue > v_queue order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 1;
      exit when not found;
      if v_queue <> all (p_queues) then
        g_queue := g_queue || v_queue;
        g_tenant := g_tenant || ''::text;
        g_priority := g_priority || (-32768)::smallint;
        g_upto_tenant := g_upto_tenant || '~'::text;
        g_upto_priority := g_upto_priority || 0::smallint;
      end if;
    end loop;
  end if;
  for v_gap in
    select g.queue, g.upto_tenant, g.upto_priority, r.tenant, r.priority
    from unnest(g_queue, g_tenant, g_priority, g_upto_tenant, g_upto_priority) with ordinality as g (queue, tenant, priority, upto_tenant, upto_priority, ord)
    cross join lateral (
      select r.tenant, r.priority from jobledger.ready as r
      where r.queue = g.queue and (r.tenant, r.priority) > (g.tenant, g.priority) and (r.tenant, r.priority) < (g.upto_tenant, g.upto_priority)
      order by r.queue, r.tenant, r.priority limit 1
    ) as r order by g.ord
  loop
    exit when cardinality(n_queue) >= p_most;
    with recursive lane as (
      select v_gap.tenant as tenant, v_gap.priority as priority, p_tenants is null or v_gap.tenant = any (p_tenants) as mine
      union all
      select r.tenant, r.priority, p_tenants is null or r.tenant = any (p_tenants)
      from lane as l cross join lateral (
        select r.tenant, r.priority from jobledger.ready as r
        where r.queue = v_gap.queue and (r.tenant, r.priority) < (v_gap.upto_tenant, v_gap.upto_priority)
          and (r.tenant, r.priority) > (case when l.mine then l.tenant else coalesce((select min(t collate "C") from unnest(p_tenants) as t where t collate "C" > l.tenant), '~') end,
            case when l.mine then l.priority else -32768 end)
        order by r.queue, r.tenant, r.priority limit 1
      ) as r
    )
    select n_tenant || array_agg(l.tenant), n_priority || array_agg(l.priority) into n_tenant, n_priority
    from (select l.tenant, l.priority from lane as l where l.mine limit p_most - cardinality(n_tenant)) as l;
    n_queue := n_queue || array_fill(v_gap.queue, array[cardinality(n_tenant) - cardinality(n_queue)]);
  end loop;
  n := cardinality(n_queue);
  if n > 0 then
    s_queue := n_queue || s_queue;
    s_tenant := n_tenant || s_tenant;
    s_priority := n_priority || s_priority;
    s_after_at := array_fill('-infinity'::timestamptz, array[n]) || s_after_at;
    s_after_id := array_fill('00000000-0000-0000-0000-000000000000'::uuid, array[n]) || s_after_id;
    s_upto_at := array_fill('infinity'::timestamptz, array[n]) || s_upto_at;
    s_upto_id := array_fill('ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid, array[n]) || s_upto_id;
    s_most := array_fill(null::int, array[n]) || s_most;
    s_held := array(select coalesce(h_count[array_position(h_tenant, t.tenant)], 0) from unnest(n_tenant) with ordinality as t (tenant, ord) order by t.ord) || s_held;
    s_mixed := array_fill(false, array[n]) || s_mixed;
  end if;
end
$$;
