-- The end of the block behind which no event of this partition lies, as the horizon would have it; block 0 for an empty partition, null while some of it is not sealed.
-- Its events belong to the last epoch above whose floor one of them lies. A snapshot of that epoch that sees them all is looked for by halving: later ones see more. Each look is
-- one descent of the partition's index on transaction ids, whatever the planner believes. Where that epoch is over, the first block of its own that a later epoch sealed is taken: all that was carried over lies before it.
create or replace function jobledger.partition_end(p_shard smallint, p_name text, out epoch int, out block bigint, out "position" bigint)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  e jobledger.epochs;
  b jobledger.blocks;
  v_found boolean := false;
  v_low bigint;
  v_high bigint;
  v_sees boolean;
begin
  for e in select x.* from jobledger.epochs as x where x.shard = p_shard order by x.epoch desc loop
    execute format('select exists (select from jobledger.%I as p where p.shard = $1 and p.position > $2)', p_name) into v_found using p_shard, e.position_floor;
    exit when v_found;
  end loop;
  if not v_found then
    epoch := 0;
    block := 0;
    position := 0;
    return;
  end if;
  select min(x.block) - 1, max(x.block) + 1 into v_low, v_high from jobledger.blocks as x where x.shard = p_shard;
  while v_low + 1 < v_high loop
    -- The last block up to the middle, or the first behind it: merged blocks leave gaps.
    select x.* into b from jobledger.blocks as x where x.shard = p_shard and x.block > v_low and x.block <= (v_low + v_high) / 2 order by x.block desc limit 1;
    if not found then
      select x.* into b from jobledger.blocks as x where x.shard = p_shard and x.block > v_low and x.block < v_high order by x.block limit 1;
      exit when not found;
    end if;
    v_sees := false;
    if b.epoch > e.epoch then
      v_sees := b.first_position > (select x.position_floor from jobledger.epochs as x where x.shard = p_shard and x.epoch = b.epoch);
    elsif b.epoch = e.epoch and b.first_position > e.position_floor then
      execute format('select (select true from jobledger.%I as p where p.xid >= pg_snapshot_xmin($1) and p.shard = $2 and p.position > $3 and not pg_visible_in_snapshot(p.xid, $1) order by p.xid limit 1) is null', p_name)
        into v_sees using b.snapshot, p_shard, e.position_floor;
    end if;
    if v_sees then
      v_high := b.block;
    else
      v_low := b.block;
    end if;
  end loop;
  -- A difference that was cut by position is whole only with its last part.
  select x.epoch, x.block, x.last_position into epoch, block, position from jobledger.blocks as f join jobledger.blocks as x on x.shard = f.shard and x.block = f.block - f.part + f.parts
  where f.shard = p_shard and f.block = v_high;
end
$$;
