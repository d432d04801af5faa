-- The block that an event lies in, by its transaction's id and its position; null while it is not sealed. The long way, for what read_own does not find at once: events of a
-- transaction that was in progress when the first snapshot behind it was taken (each later snapshot of the epoch sees it: halving finds the first), parts of a large difference
-- (cut by position), and what an epoch left behind and the next one carried over (above the last sealed position, or unseen by the last snapshot).
create or replace function jobledger.block_of(p_shard smallint, p_xid xid8, p_position bigint) returns bigint
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  c_end constant xid8 := '9223372036854775807';
  v_epoch jobledger.epochs;
  v_first jobledger.blocks;
  v_last jobledger.blocks;
  v_low bigint;
  v_high bigint;
  v_middle bigint;
  v_found bigint;
  v_next int;
begin
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard and e.position_floor < p_position order by e.epoch desc limit 1;
  select min(e.epoch) into v_next from jobledger.epochs as e where e.shard = p_shard and e.epoch > v_epoch.epoch;
  select * into v_last from jobledger.blocks as b where b.shard = p_shard and b.epoch = v_epoch.epoch and pg_snapshot_xmax(b.snapshot) < c_end
  order by pg_snapshot_xmax(b.snapshot) desc, b.block desc limit 1;
  if v_last.block is null or v_next is not null and (p_position > v_last.position_hwm or not pg_visible_in_snapshot(p_xid, v_last.snapshot)) then
    return (select b.block from jobledger.blocks as b where b.shard = p_shard and b.epoch = v_next and pg_snapshot_xmax(b.snapshot) >= c_end
      and p_position between b.first_position and b.last_position order by pg_snapshot_xmax(b.snapshot), b.block limit 1);
  end if;
  if not pg_visible_in_snapshot(p_xid, v_last.snapshot) then
    return null;
  end if;
  select * into v_first from jobledger.blocks as b where b.shard = p_shard and b.epoch = v_epoch.epoch and pg_snapshot_xmax(b.snapshot) > p_xid
  order by pg_snapshot_xmax(b.snapshot), b.block limit 1;
  v_found := v_first.block;
  if not pg_visible_in_snapshot(p_xid, v_first.snapshot) then
    -- Unseen by v_low, seen by v_found; what is between lies above v_low and below v_high.
    v_low := v_first.block;
    v_found := v_last.block;
    v_high := v_last.block;
    while v_low + 1 < v_high loop
      v_middle := (v_low + v_high) / 2;
      select * into v_first from jobledger.blocks as b where b.shard = p_shard and b.block >= v_middle and b.block < v_high order by b.block limit 1;
      if v_first.block is null or pg_visible_in_snapshot(p_xid, v_first.snapshot) then
        v_found := coalesce(v_first.block, v_found);
        v_high := v_middle;
      else
        v_low := v_first.block;
      end if;
    end loop;
  end if;
  -- Parts ascend by position, and so do the blocks that are merged with one.
  return (select b.block from jobledger.blocks as b where b.shard = p_shard and b.block >= v_found and b.last_position >= p_position order by b.block limit 1);
end
$$;
