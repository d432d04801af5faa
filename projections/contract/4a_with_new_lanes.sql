-- The lanes of a claim, with up to p_most new ones put first: those found in the given gaps between known lanes, and in queues nobody named (where the worker takes any).
-- One descent of the index a gap; its bounds are known lanes or the ends (('', -32768) and ('~', 0), which no name reaches), so the dead entries of known lanes are never read.
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
  v_lane record;
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
    select v_gap.tenant as tenant, v_gap.priority as priority into v_lane;
    while v_lane.tenant is not null and cardinality(n_queue) < p_most loop
      if p_tenants is null or v_lane.tenant = any (p_tenants) then
        n_queue := n_queue || v_gap.queue;
        n_tenant := n_tenant || v_lane.tenant;
        n_priority := n_priority || v_lane.priority;
      else
        -- A tenant this worker may not serve: go on after the last of its lanes.
        v_lane.priority := 32767;
      end if;
      select r.tenant, r.priority into v_lane from jobledger.ready as r
      where r.queue = v_gap.queue and (r.tenant, r.priority) > (v_lane.tenant, v_lane.priority) and (r.tenant, r.priority) < (v_gap.upto_tenant, v_gap.upto_priority)
      order by r.queue, r.tenant, r.priority limit 1;
    end loop;
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
