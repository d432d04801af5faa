-- How many jobs of a tenant (null: of every one) were in each state, per queue and kind, as of a moment (moment_of_token, moment_of_place, moment_of_time): levels stored at the end of a
-- slice, and the events since, of one slice at most. Exactly what the log says, and so what the live tables said to that snapshot. Scheduled and ready are told apart by its clock.
-- Events that retention may have taken are never counted by their absence: before the horizon only the ends of slices are answered for.
-- What of the moment's last blocks is not counted yet is read as well, up to 1,000,000 events. Only for who sees every tenant.
drop function if exists jobledger.counts_as_of;

create function jobledger.counts_as_of(p_shard smallint, p_tenant text, p_moment jobledger.moment) returns table (tenant text, queue text, kind text, state text, jobs bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  m jobledger.moment := p_moment;
  v_slice bigint;
  v_first bigint;
  v_events bigint;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.must_see_order();
  perform jobledger.check_moment(m);
  if to_regclass('jobledger_tenants.progress') is not null then
    -- A slice may end within what has been merged into one block since: the one before it will do.
    select s.block into v_slice from jobledger_tenants.slices as s where s.shard = p_shard and s.block <= m.block
      and (s.block < m.block or not exists (select from jobledger.blocks as b where b.shard = p_shard and b.block = m.block and b.last_position > m.position))
      and coalesce((select b.merged_from from jobledger.blocks as b where b.shard = p_shard and b.block > s.block order by b.block limit 1), s.block + 1) > s.block
    order by s.block desc limit 1;
  end if;
  v_slice := coalesce(v_slice, 0);
  select coalesce(b.merged_from, b.block) into v_first from jobledger.blocks as b where b.shard = p_shard order by b.block limit 1;
  if v_slice + 1 < v_first or (v_slice < (select h.block from jobledger.horizon as h where h.shard = p_shard) and (v_slice < m.block or m.since::text = m.snapshot::text) and m.hwm > 0) then
    perform jobledger.refuse('JL208', 'Counts of this moment are not kept.', 'Ask as of a later one. The setting jobledger.levels_kept says how long they are kept, and retention takes what lies between them.');
  end if;
  select sum(b.count) into v_events from (select x.count from jobledger.blocks as x where x.shard = p_shard and x.block > v_slice and x.block <= m.block order by x.block limit 200000) as b;
  if v_events > 1000000 then
    perform jobledger.refuse('JL500', 'The projection tenants has not counted up to this moment yet.', 'Ask again in a while; `jobledger projections` tells how far it is.');
  end if;
  return query
  with changed as materialized (
    select c.tenant, c.id, c.first, c.last from jobledger.changed_between(p_shard, p_tenant, v_slice, m) as c
  ), counted as (
    select l.tenant, l.queue, l.kind, l.state, l.jobs from jobledger.levels_at(p_shard, p_tenant, v_slice, m.at) as l where v_slice > 0
    union all
    select c.tenant, j.queue, j.kind, case when j.state = 'ready' and j.due > m.at then 'scheduled' else j.state end, v.sign
    from changed as c cross join lateral (values (c.first - 1, -1), (c.last, 1)) as v (version, sign) cross join lateral jobledger.job_at(p_shard, c.id, v.version) as j
  )
  select c.tenant, c.queue, c.kind, c.state::text, sum(c.jobs)::bigint from counted as c group by c.tenant, c.queue, c.kind, c.state having sum(c.jobs) <> 0
  order by c.tenant, c.queue, c.kind, c.state;
end
$$;
