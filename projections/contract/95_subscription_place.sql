-- Where a subscription begins or goes on: the beginning or end of what is sealed, a cursor's place (JL207 where the log does not have it), or a time.
create or replace function jobledger.subscription_place(p_shard smallint, p_to text, p_epoch int, p_block bigint, p_position bigint, p_at timestamptz)
returns table (epoch int, block bigint, "position" bigint)
language plpgsql set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  perform jobledger.check_subscription_place(p_to, p_epoch, p_block, p_position, p_at);
  if p_to = 'time' then
    return query select jobledger.told_epoch(p_shard, b.block, b.epoch), b.block, b.last_position from jobledger.last_block(p_shard, p_at) as b where b.block is not null;
  elsif p_to = 'cursor' then
    perform jobledger.check_place(p_shard, p_epoch, p_block, p_position);
    return query select p_epoch, p_block, p_position;
  elsif p_to = 'end' then
    return query select jobledger.told_epoch(p_shard, b.block, b.epoch), b.block, b.last_position from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  end if;
  -- The beginning, also of a log without blocks, and where the time is before the first one.
  if not found or p_to = 'beginning' then
    return query select 0, 0::bigint, 0::bigint;
  end if;
end
$$;
