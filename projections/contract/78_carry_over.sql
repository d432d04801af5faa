-- The first blocks of a new epoch: what the last one left unsealed, whatever transaction ids say now. Those are the events above the highest sealed position (nobody sealed them),
-- and those below it that the last snapshot did not see, by the ids of their own time. Returns how many there were. Only while nobody appends (the caller holds the log in
-- SHARE mode): its rows are as self-contained as the others, with bounds that take in every id.
-- A difference whose parts were not all written is finished first: its bounds were fixed with its first part.
create or replace function jobledger.carry_over(p_shard smallint, p_epoch int, p_now timestamptz) returns bigint
language plpgsql set jit = off set work_mem = '64MB' set plan_cache_mode = force_custom_plan
as $$
declare
  v_last jobledger.blocks;
  v_epoch jobledger.epochs;
  v_cuts bigint[];
  v_hwm bigint;
  v_carried bigint;
begin
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  if v_last.part < v_last.parts then
    select b.cuts into v_cuts from jobledger.blocks as b where b.shard = p_shard and b.block = v_last.block - v_last.part + 1;
    insert into jobledger.blocks (shard, block, epoch, since, snapshot, first_position, last_position, count, position_hwm, sealed_at, first_xid, last_xid, late, part, parts)
    select p_shard, v_last.block - v_last.part + p, v_last.epoch, v_last.since, v_last.snapshot, v_cuts[p][3], v_cuts[p][1], v_cuts[p][2], greatest(v_last.position_hwm, v_cuts[p][1]),
      greatest(p_now, v_last.sealed_at), v_cuts[p][4]::text::xid8, v_cuts[p][5]::text::xid8, v_last.late, p, v_last.parts from generate_series(v_last.part + 1, v_last.parts) as p;
    select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  end if;
  v_hwm := greatest(v_last.position_hwm, v_epoch.position_floor);
  with unsealed as (
    select e.position, e.xid, e.position > v_hwm as fresh from jobledger.events as e
    where e.shard = p_shard and e.position > v_epoch.position_floor and (e.position > v_hwm or not pg_visible_in_snapshot(e.xid, v_last.snapshot))
  ), parts as (
    select u.fresh, u.part, min(u.position) as first_position, max(u.position) as last_position, count(*)::int as count, min(u.xid) as first_xid, max(u.xid) as last_xid
    from (select x.*, (row_number() over (partition by x.fresh order by x.position) - 1) / 10000 as part from unsealed as x) as u group by u.fresh, u.part
  ), written as (
    insert into jobledger.blocks (shard, block, epoch, since, snapshot, first_position, last_position, count, position_hwm, sealed_at, first_xid, last_xid, late, part, parts)
    select p_shard, coalesce(v_last.block, 0) + row_number() over (order by p.fresh, p.part), p_epoch, case when p.fresh then '1:1:' else v_last.snapshot end,
      '9223372036854775807:9223372036854775807:', p.first_position, p.last_position, p.count, greatest(v_hwm, p.last_position), greatest(p_now, v_last.sealed_at), p.first_xid, p.last_xid,
      '{}', 1, 1 from parts as p
    returning count
  )
  select coalesce(sum(w.count), 0) into v_carried from written as w;
  return v_carried;
end
$$;
