-- The rows of `blocks` after `p_after` up to `p_upto`, one epoch's and none of them cut, with what is left of their events: how many, and the bounds of their positions and of their
-- transaction ids.
drop function if exists jobledger.blocks_left;

create function jobledger.blocks_left(p_shard smallint, p_after bigint, p_upto bigint, p_floor bigint)
returns table (block bigint, last_position bigint, count int, lowest bigint, highest bigint, lowest_xid xid8, highest_xid xid8)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_since pg_snapshot;
  v_snapshot pg_snapshot;
  v_late xid8[];
begin
  select b.since into v_since from jobledger.blocks as b where b.shard = p_shard and b.block > p_after order by b.block limit 1;
  select b.snapshot into v_snapshot from jobledger.blocks as b where b.shard = p_shard and b.block = p_upto;
  v_late := array(select x from pg_snapshot_xip(v_since) as x where pg_visible_in_snapshot(x, v_snapshot));
  return query
  with left_over as materialized (
    select e.position, e.xid from jobledger.events as e
    where e.xid >= pg_snapshot_xmax(v_since) and e.xid < pg_snapshot_xmax(v_snapshot) and e.shard = p_shard and e.position > p_floor and pg_visible_in_snapshot(e.xid, v_snapshot)
    union all
    select e.position, e.xid from jobledger.events as e where e.xid = any (v_late) and e.shard = p_shard and e.position > p_floor
  )
  select b.block, b.last_position, count(l.position)::int, min(l.position), max(l.position), min(l.xid), max(l.xid)
  from jobledger.blocks as b
  left join left_over as l on l.position between b.first_position and b.last_position and pg_visible_in_snapshot(l.xid, b.snapshot) and not pg_visible_in_snapshot(l.xid, b.since)
  where b.shard = p_shard and b.block > p_after and b.block <= p_upto
  group by b.block, b.last_position order by b.block;
end
$$;
