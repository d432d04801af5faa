-- How far a place is behind the end of the log: in events, and how long the first block after it has been waiting, in seconds. By the counts of at most 1,000 blocks; beyond
-- them, and within a block, by positions, which is not exact (rolled back transactions leave gaps).
create or replace function jobledger.lag_of(p_shard smallint, p_block bigint, p_position bigint) returns table (events bigint, exact boolean, seconds double precision)
language plpgsql stable set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_end jobledger.blocks;
  v_next jobledger.blocks;
  v_part bigint := 0;
begin
  select * into v_end from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  select * into v_next from jobledger.blocks as b where b.shard = p_shard and b.block >= p_block and (b.block > p_block or b.last_position > p_position) order by b.block limit 1;
  if v_next.block is null then
    return query select 0::bigint, true, 0::double precision;
    return;
  end if;
  seconds := greatest(0, extract(epoch from jobledger.now() - v_next.sealed_at));
  if v_next.block = p_block and p_position >= v_next.first_position then
    v_part := least(v_next.count, greatest(1, v_next.count * (v_next.last_position - p_position) / (v_next.last_position - v_next.first_position + 1)));
  elsif v_next.block = p_block then
    v_part := v_next.count;
  end if;
  if v_end.block - p_block <= 1000 then
    return query select v_part + coalesce(sum(b.count), 0)::bigint, v_part = 0, seconds from jobledger.blocks as b where b.shard = p_shard and b.block > p_block;
  else
    return query select greatest(1, v_end.position_hwm - coalesce((select b.position_hwm from jobledger.blocks as b where b.shard = p_shard and b.block <= p_block order by b.block desc limit 1), 0)), false, seconds;
  end if;
end
$$;
