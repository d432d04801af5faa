-- Refuse (JL207) a place that this log does not have, with the place to go on from: for one behind the end, the end of its epoch here (some of it may come again); for one before
-- the horizon, the horizon.
create or replace function jobledger.check_place(p_shard smallint, p_epoch int, p_block bigint) returns void
language plpgsql stable set enable_seqscan = off
as $$
declare
  v_first bigint := coalesce((select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block limit 1), 1);
  v_end record;
begin
  if p_block < v_first - 1 then
    perform jobledger.refuse('JL207', 'What came after this cursor was dropped by retention.', 'Go on from the cursor given, and take what is missing from the projections.',
      jsonb_build_object('reason', 'below_horizon', 'epoch', 0, 'block', v_first - 1, 'position', 0));
  end if;
  if p_block < v_first or exists (select from jobledger.blocks as b where b.shard = p_shard and b.block = p_block and b.epoch = p_epoch) then
    return;
  end if;
  select b.epoch, b.block, b.last_position into v_end from jobledger.blocks as b where b.shard = p_shard and b.epoch <= p_epoch and b.block <= p_block order by b.block desc limit 1;
  perform jobledger.refuse('JL207', 'The log does not reach to this cursor: what it had read was lost with the server that had it.', 'Go on from the cursor given; some events may come again.',
    jsonb_build_object('reason', 'beyond_end', 'epoch', coalesce(v_end.epoch, 0), 'block', coalesce(v_end.block, 0), 'position', coalesce(v_end.last_position, 0)));
end
$$;
