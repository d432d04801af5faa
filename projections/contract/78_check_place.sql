-- Refuse (JL207) a place that this log does not have, with the place to go on from: for one behind the end, the end of its epoch here (some of it may come again); for one before
-- the horizon, the horizon. Block 0 is the beginning of what there is, and so is any before the first; before the horizon a place is good when it was given since the last drop (see told_epoch). Without a position it
-- is the block's end. A position outside its block is of another history (a storage that was rolled back gives numbers anew): where the two part is not known, so from the epoch's beginning.
-- Blocks are found by number alone, on a table that was never analysed, too: the index that begins with the epoch was read half instead.
-- Race: a partition that is being detached would be missing in the middle of what a reader reads. So the log and the blocks are locked before the horizon is looked at, by a snapshot of
-- this function's own: a detaching waits for the caller from then on, and one that is over has moved the horizon before. Hence volatile.
drop function if exists jobledger.check_place;

create function jobledger.check_place(p_shard smallint, p_epoch int, p_block bigint, p_position bigint default null) returns void
language plpgsql set enable_seqscan = off
as $$
declare
  c_epochs constant int := 1048575;
  h jobledger.horizon;
  v_here record;
  v_known boolean;
  v_end record;
begin
  lock table only jobledger.events, only jobledger.blocks in access share mode;
  if p_block = 0 then
    return;
  end if;
  select t.* into h from jobledger.horizon as t where t.shard = p_shard;
  if p_block <= h.block then
    if p_epoch >> 20 = h.generation or (p_block = h.block and p_epoch = h.epoch and coalesce(p_position, h.position) >= h.position) then
      return;
    end if;
    perform jobledger.refuse('JL207', 'What came after this cursor was dropped by retention.', 'Go on from the cursor given, and take what is missing from the projections.',
      jsonb_build_object('reason', 'below_horizon', 'epoch', h.epoch, 'block', h.block, 'position', h.position));
  end if;
  select b.first_position, b.last_position into v_here from jobledger.blocks as b where b.shard = p_shard and b.block = p_block and b.epoch + 0 = p_epoch & c_epochs;
  v_known := found;
  if v_known and (coalesce(p_position, 0) = 0 or p_position between v_here.first_position and v_here.last_position)
      or (select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block limit 1) > p_block then
    return;
  end if;
  select b.epoch, b.block, b.last_position into v_end from jobledger.blocks as b where b.shard = p_shard and b.epoch + 0 <= (p_epoch & c_epochs) - v_known::int and b.block <= p_block order by b.block desc limit 1;
  perform jobledger.refuse('JL207', 'The log does not reach to this cursor: what it had read was lost with the server that had it.', 'Go on from the cursor given; some events may come again.',
    jsonb_build_object('reason', 'beyond_end', 'epoch', jobledger.told_epoch(p_shard, v_end.block, coalesce(v_end.epoch, 0)), 'block', coalesce(v_end.block, 0), 'position', coalesce(v_end.last_position, 0)));
end
$$;
