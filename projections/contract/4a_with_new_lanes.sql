-- The lanes of a claim, with up to p_most new ones put first: those found in the given gaps between known lanes, and in queues nobody named (where the worker takes any).
-- One look (`next_lane`) a gap and a lane found (a worker bound to tenants jumps from one of its own to the next); its bounds are known lanes or the ends (('', -32768) and ('~', 0), which no name reaches), so the dead entries of known lanes are never read.
-- Lanes of paused tenants count among those looked at, so that many of them cost a claim no more than its limit; they are left out, but for
-- one where the search ended at its limit: that tells the caller to go on after the last of the new lanes, be it this one.
-- Plans: a pause is looked up by a scalar subquery, since an `exists` may be hashed, which reads every pause there is.
drop function if exists jobledger.with_new_lanes;

create function jobledger.with_new_lanes(
  p_shard smallint, p_queues text[], p_any_queue boolean,
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
  v_pauses boolean := exists (select from jobledger.limits as l where l.shard = p_shard and l.paused);
  v_paused text[] := '{}';
  v_looked int := 0;
  v_found record;
  v_held jsonb;
  m_queue text;
  m_tenant text;
  m_priority smallint;
  n int;
begin
  if v_pauses then
    v_paused := jobledger.paused(p_shard, 'queue', g_queue);
  end if;
  if p_any_queue then
    -- Between the known queues and beyond them, for the same reason as between lanes.
    for v_gap in
      select k.queue, lead(k.queue, 1, '~') over (order by k.queue) as upto
      from (select ''::text collate "C" as queue union select q collate "C" from unnest(p_queues) as q where q is not null) as k order by k.queue
    loop
      v_queue := v_gap.queue;
      loop
        select r.queue into v_queue from jobledger.ready as r where r.queue > v_queue and r.queue < v_gap.upto order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 1;
        exit when not found;
        if not (v_pauses and v_queue = any (jobledger.paused(p_shard, 'queue', array[v_queue]))) then
          g_queue := g_queue || v_queue;
          g_tenant := g_tenant || ''::text;
          g_priority := g_priority || (-32768)::smallint;
          g_upto_tenant := g_upto_tenant || '~'::text;
          g_upto_priority := g_upto_priority || 0::smallint;
        end if;
      end loop;
    end loop;
  end if;
  for v_gap in
    select g.queue, g.upto_tenant, g.upto_priority, r.tenant, r.priority
    from unnest(g_queue, g_tenant, g_priority, g_upto_tenant, g_upto_priority) with ordinality as g (queue, tenant, priority, upto_tenant, upto_priority, ord)
    cross join lateral jobledger.next_lane(g.queue, g.tenant, g.priority, g.upto_tenant, g.upto_priority) as r
    where g.queue <> all (v_paused) order by g.ord
  loop
    exit when v_looked >= p_most;
    with recursive lane as (
      select v_gap.tenant as tenant, v_gap.priority as priority, p_tenants is null or v_gap.tenant = any (p_tenants) as mine
      union all
      select r.tenant, r.priority, p_tenants is null or r.tenant = any (p_tenants)
      from lane as l
      cross join lateral (
        select case when l.mine then l.tenant else coalesce((select min(t collate "C") from unnest(p_tenants) as t where t collate "C" > l.tenant), '~') end as tenant,
          case when l.mine then l.priority else (-32768)::smallint end as priority
      ) as a
      cross join lateral jobledger.next_lane(v_gap.queue, a.tenant, a.priority, v_gap.upto_tenant, v_gap.upto_priority) as r
    ), looked as materialized (
      select l.tenant, l.priority, v_pauses and coalesce((select x.paused from jobledger.limits as x where x.shard = p_shard and x.scope = 'tenant' and x.name = l.tenant), false) as paused,
        row_number() over () as nth
      from lane as l where l.mine limit p_most - v_looked
    )
    -- Each in the order of the walk, said of each: one aggregate with an order of its own changes the order of all.
    select count(*)::int as looked, array_agg(l.tenant order by l.nth) filter (where not l.paused) as tenants, array_agg(l.priority order by l.nth) filter (where not l.paused) as priorities,
      max(l.nth) filter (where l.paused) = count(*) as ends,
      (array_agg(l.tenant order by l.nth) filter (where l.paused))[count(*) filter (where l.paused)] as tenant,
      (array_agg(l.priority order by l.nth) filter (where l.paused))[count(*) filter (where l.paused)] as priority into v_found from looked as l;
    v_looked := v_looked + v_found.looked;
    n_tenant := n_tenant || v_found.tenants;
    n_priority := n_priority || v_found.priorities;
    n_queue := n_queue || array_fill(v_gap.queue, array[cardinality(n_tenant) - cardinality(n_queue)]);
    if v_found.tenant is not null then
      m_queue := v_gap.queue;
      m_tenant := v_found.tenant;
      m_priority := v_found.priority;
    end if;
    if v_looked >= p_most and m_tenant is not null then
      n_queue := case when v_found.ends then n_queue || m_queue else m_queue || n_queue end;
      n_tenant := case when v_found.ends then n_tenant || m_tenant else m_tenant || n_tenant end;
      n_priority := case when v_found.ends then n_priority || m_priority else m_priority || n_priority end;
    end if;
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
    -- Found by its key in an object: a thousand held tenants looked through for each of a thousand lanes cost more than the claim.
    v_held := jsonb_object(coalesce(h_tenant, '{}'), coalesce(h_count, '{}')::text[]);
    s_held := array(select coalesce((v_held ->> t.tenant)::int, 0) from unnest(n_tenant) with ordinality as t (tenant, ord) order by t.ord) || s_held;
    s_mixed := array_fill(false, array[n]) || s_mixed;
  end if;
end
$$;
