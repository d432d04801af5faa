-- Which blocks after `p_after` one call of merge_blocks is to look at: at most `p_most` rows before the horizon, of one epoch, neither carried over nor cut, with together at most
-- 2,000 events left (or a single row). `upto` is the last of them, or where to go on behind what cannot be merged; null at the horizon. `p_floor` is that of their epoch.
drop function if exists jobledger.mergeable;

create function jobledger.mergeable(p_shard smallint, p_after bigint, p_most int, out upto bigint, out rows int, out floor bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  b record;
  v_horizon bigint;
  v_epoch int;
  v_since pg_snapshot;
  v_blocks bigint[] := '{}';
  v_snapshots pg_snapshot[] := '{}';
  v_late xid8[];
  v_left int;
begin
  rows := 0;
  select h.block into v_horizon from jobledger.horizon as h where h.shard = p_shard;
  for b in select x.block, x.epoch, x.parts, x.first_position, x.since, x.snapshot from jobledger.blocks as x
      where x.shard = p_shard and x.block > p_after and x.block < v_horizon order by x.block limit p_most loop
    if rows = 0 then
      v_epoch := b.epoch;
      v_since := b.since;
      select e.position_floor into floor from jobledger.epochs as e where e.shard = p_shard and e.epoch = b.epoch;
    end if;
    if b.epoch <> v_epoch or b.parts > 1 or b.first_position <= floor then
      upto := case when rows = 0 then b.block else upto end;
      exit;
    end if;
    rows := rows + 1;
    upto := b.block;
    v_blocks := v_blocks || b.block;
    v_snapshots := v_snapshots || b.snapshot;
  end loop;
  while rows > 1 loop
    v_late := array(select x from pg_snapshot_xip(v_since) as x where pg_visible_in_snapshot(x, v_snapshots[rows]));
    select count(*) into v_left from (
      select from jobledger.events as e
      where e.xid >= pg_snapshot_xmax(v_since) and e.xid < pg_snapshot_xmax(v_snapshots[rows]) and e.shard = p_shard and e.position > floor and pg_visible_in_snapshot(e.xid, v_snapshots[rows])
      union all
      select from jobledger.events as e where e.xid = any (v_late) and e.shard = p_shard and e.position > floor
      limit 2001
    ) as l;
    exit when v_left <= 2000;
    rows := rows / 2;
    upto := v_blocks[rows];
  end loop;
end
$$;
