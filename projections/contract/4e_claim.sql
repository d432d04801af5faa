-- Claim up to p_n jobs in one round trip: lock and delete from `ready`, insert into `running`, append `job.claimed`, return the jobs with their data from the log.
--
-- What to read is the caller's memory, as parallel arrays: segments of lanes (queue, tenant, priority, after which key, up to which key, how many rows at most (null: a share;
-- 0: a share if there is anything),
-- how many jobs of the tenant the process already runs, whether the lane holds kinds the worker does not know), gaps between known lanes in which to look for new
-- ones, and the free slots of each queue. Each round gives every tenant its fair share of what is left and reads its most urgent lane that is not exhausted;
-- what a tenant cannot use goes round again, so a lone tenant gets everything. Cost grows with the lanes named, not with tenants or backlog.
--
-- Jobs whose time-out is longer than p_timeout seconds (null: none) are passed over: the caller knows that its own end comes before.
-- The wall: a lane of a tenant that the caller or the worker may not serve is never read, whoever names it.
--
-- Races: SKIP LOCKED lets two claims pass each other; a row that another claim had locked and rolled back is found by the caller's second cursor behind its key.
-- The position is drawn after the row is locked. Plans: the SET clauses keep the index order whatever the statistics of tables that empty and fill say.
drop function if exists jobledger.claim;

create function jobledger.claim(
  p_shard smallint, p_worker uuid, p_call int, p_n int, p_kinds text[], p_queues text[], p_room int[], p_any_queue boolean,
  s_queue text[], s_tenant text[], s_priority smallint[], s_after_at timestamptz[], s_after_id uuid[], s_upto_at timestamptz[], s_upto_id uuid[], s_most int[], s_held int[], s_mixed boolean[],
  g_queue text[], g_tenant text[], g_priority smallint[], g_upto_tenant text[], g_upto_priority smallint[], p_new_lanes int, h_tenant text[], h_count int[], p_timeout int default null,
  out at timestamptz, out ids uuid[], out tenants text[], out queues text[], out kinds text[], out priorities smallint[], out attempts smallint[], out max_attempts smallint[],
  out claims int[], out run_ats timestamptz[], out kill_ats timestamptz[], out timeouts int[], out owners text[], out data_ids uuid[], out datas text[],
  out l_queue text[], out l_tenant text[], out l_priority smallint[], out l_at timestamptz[], out l_id uuid[], out l_asked int[], out l_looked int[], out l_got int[], out l_strange int[], out l_more boolean[]
)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set enable_incremental_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_tenants text[];
  v_kinds text[] := p_kinds;
  v_beat int;
  v_left int := p_n;
  v_oldest uuid;
  v_shares int;
  v_said jsonb;
  v_round int := 0;
  v_paused text[];
  v_first boolean[];
  v_taken jobledger.taken_lanes;
  n int;
  v_first_lanes int;
begin
  n := coalesce(cardinality(s_queue), 0);
  if p_call is null or p_call < 0 or p_n is null or p_n not between 0 and 100000 or p_kinds is null or p_queues is null or p_any_queue is null
      or p_new_lanes is null or p_new_lanes not between 0 and 100000 or cardinality(p_room) <> cardinality(p_queues) or array_position(p_room, null) is not null
      or (n, n, n, n, n, n, n, n, n) is distinct from (coalesce(cardinality(s_tenant), 0), coalesce(cardinality(s_priority), 0), coalesce(cardinality(s_after_at), 0),
        coalesce(cardinality(s_after_id), 0), coalesce(cardinality(s_upto_at), 0), coalesce(cardinality(s_upto_id), 0), coalesce(cardinality(s_most), 0),
        coalesce(cardinality(s_held), 0), coalesce(cardinality(s_mixed), 0))
      or (cardinality(g_tenant), cardinality(g_priority), cardinality(g_upto_tenant), cardinality(g_upto_priority), cardinality(h_count))
        is distinct from (cardinality(g_queue), cardinality(g_queue), cardinality(g_queue), cardinality(g_queue), cardinality(h_tenant)) or 0 > any (h_count) then
    perform jobledger.refuse('JL101', 'A claim names its number, 0 to 100000 jobs, and lists of the same length for lanes, gaps, queues and tenants.', 'Mend the call.');
  end if;
  at := jobledger.now();
  v_tenants := jobledger.may_claim(p_shard, p_worker, at);
  v_oldest := jobledger.first_id_at(at - interval '7 days');
  select w.head into v_beat from jobledger.workers as w where w.shard = p_shard and w.id = p_worker;
  v_said := jsonb_build_object('call', p_call, 'beat', v_beat);
  v_shares := (select count(*) from unnest(s_most) as m where m is null);
  select t.* into s_queue, s_tenant, s_priority, s_after_at, s_after_id, s_upto_at, s_upto_id, s_most, s_held, s_mixed
  from jobledger.with_new_lanes(p_shard, p_queues, p_any_queue, s_queue, s_tenant, s_priority, s_after_at, s_after_id, s_upto_at, s_upto_id, s_most, s_held, s_mixed,
    g_queue, g_tenant, g_priority, g_upto_tenant, g_upto_priority, p_new_lanes, v_tenants, h_tenant, h_count) as t;
  n := coalesce(cardinality(s_queue), 0);
  l_queue := s_queue;
  l_tenant := s_tenant;
  l_priority := s_priority;
  l_at := s_after_at;
  l_id := s_after_id;
  l_asked := array_fill(0, array[n]);
  l_looked := l_asked;
  l_got := l_asked;
  l_strange := l_asked;
  -- What is read only if there is anything, costs one look and has no part in the shares where there is not.
  l_more := array(select (v_tenants is null or l.tenant = any (v_tenants)) and (l.most is null or exists (select from jobledger.ready as r
      where r.queue = l.queue and r.tenant = l.tenant and r.priority = l.priority and (r.run_at, r.id) > (l.after_at, l.after_id) and (r.run_at, r.id) <= (l.upto_at, l.upto_id)))
    from unnest(s_queue, s_tenant, s_priority, s_after_at, s_after_id, s_upto_at, s_upto_id, s_most) with ordinality as l (queue, tenant, priority, after_at, after_id, upto_at, upto_id, most, ord)
    order by l.ord);
  s_most := array(select nullif(m.most, 0) from unnest(s_most) with ordinality as m (most, ord) order by m.ord);
  if exists (select from jobledger.limits as l where l.shard = p_shard and l.paused) then
    v_kinds := array(select k from unnest(p_kinds) as k where k <> all (jobledger.paused(p_shard, 'kind', p_kinds)));
    v_paused := jobledger.paused(p_shard, 'tenant', s_tenant);
    select array_agg(l_more[l.ord] and coalesce(l.queue <> all (q.names) and l.tenant <> all (v_paused), true) order by l.ord) into l_more
    from unnest(s_queue, s_tenant) with ordinality as l (queue, tenant, ord), (select jobledger.paused(p_shard, 'queue', s_queue) as names) as q;
    l_more := coalesce(l_more, '{}');
  end if;
  -- New lanes take the place of the last ones named, so that a claim serves as many tenants as its caller meant to; the others share what is left.
  v_first := array(select m.most is not null or row_number() over (partition by m.most is null order by m.ord) <= greatest(p_new_lanes, v_shares)
    from unnest(s_most) with ordinality as m (most, ord) order by m.ord);
  while v_left > 0 and n > 0 and v_round < 8 loop
    v_round := v_round + 1;
    select * into v_taken from jobledger.claim_round(p_shard, p_worker, p_call, at, v_left, v_kinds, cardinality(v_kinds) < cardinality(p_kinds), p_queues, p_room, v_oldest, p_timeout, v_said,
      s_queue, s_tenant, s_priority, l_at, l_id, s_upto_at, s_upto_id, s_most, s_held, s_mixed,
      case when v_round = 1 then array(select m.more and m.first from unnest(l_more, v_first) with ordinality as m (more, first, ord) order by m.ord) else l_more end);
    exit when v_taken.ords is null;
    v_first_lanes := cardinality(v_taken.ords);
    if v_round = 1 and v_taken.ords[v_first_lanes] = v_first_lanes then
      -- The first lanes, all of them: whole arrays at a time, since a thousand lanes one by one cost 3 us each.
      l_asked := v_taken.asked || l_asked[v_first_lanes + 1:];
      l_looked := v_taken.looked || l_looked[v_first_lanes + 1:];
      l_got := v_taken.got || l_got[v_first_lanes + 1:];
      l_strange := v_taken.strange || l_strange[v_first_lanes + 1:];
      l_more := array(select t.more and t.most is null from unnest(v_taken.more, s_most[:v_first_lanes]) with ordinality as t (more, most, ord) order by t.ord) || l_more[v_first_lanes + 1:];
      s_held := array(select t.held + t.got from unnest(s_held[:v_first_lanes], v_taken.got) with ordinality as t (held, got, ord) order by t.ord) || s_held[v_first_lanes + 1:];
      l_id := array(select case when t.at is null then t.old else t.id end from unnest(v_taken.last_at, v_taken.last_id, l_id[:v_first_lanes]) with ordinality as t (at, id, old, ord) order by t.ord) || l_id[v_first_lanes + 1:];
      l_at := array(select coalesce(t.at, t.old) from unnest(v_taken.last_at, l_at[:v_first_lanes]) with ordinality as t (at, old, ord) order by t.ord) || l_at[v_first_lanes + 1:];
    else
      for i in 1 .. cardinality(v_taken.ords) loop
        n := v_taken.ords[i];
        l_asked[n] := l_asked[n] + v_taken.asked[i];
        l_looked[n] := l_looked[n] + v_taken.looked[i];
        l_got[n] := l_got[n] + v_taken.got[i];
        l_strange[n] := l_strange[n] + v_taken.strange[i];
        l_more[n] := v_taken.more[i] and s_most[n] is null;
        s_held[n] := s_held[n] + v_taken.got[i];
        if v_taken.last_at[i] is not null then
          l_at[n] := v_taken.last_at[i];
          l_id[n] := v_taken.last_id[i];
        end if;
      end loop;
    end if;
    n := cardinality(s_queue);
    if v_taken.ids is not null then
      ids := ids || v_taken.ids;
      tenants := tenants || v_taken.tenants;
      queues := queues || v_taken.queues;
      kinds := kinds || v_taken.kinds;
      priorities := priorities || v_taken.priorities;
      attempts := attempts || v_taken.attempts;
      max_attempts := max_attempts || v_taken.max_attempts;
      claims := claims || v_taken.claims;
      run_ats := run_ats || v_taken.run_ats;
      kill_ats := kill_ats || v_taken.kill_ats;
      timeouts := timeouts || v_taken.timeouts;
      owners := owners || v_taken.owners;
      v_left := v_left - cardinality(v_taken.ids);
      if p_room is not null then
        p_room := array(select r.room - (select count(*) from unnest(v_taken.queues) as t where t = r.name)::int from unnest(p_queues, p_room) with ordinality as r (name, room, ord) order by r.ord);
      end if;
    end if;
    exit when not (true = any (l_more));
  end loop;
  if ids is not null then
    select t.data_ids, t.datas into data_ids, datas from jobledger.enqueued_texts(p_shard, ids) as t;
  end if;
end
$$;
