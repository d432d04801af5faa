-- The end of the last block sealed at or before a moment: block 0 where there is none. `sealed_at` never goes back, so the blocks are searched by halves: some 20 index descents.
create or replace function jobledger.place_at(p_shard smallint, p_at timestamptz) returns table (epoch int, block bigint, "position" bigint)
language plpgsql stable set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_low bigint := (select b.block - 1 from jobledger.blocks as b where b.shard = p_shard order by b.block limit 1);
  v_high bigint := (select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1);
  v_mid bigint;
begin
  while v_low < v_high loop
    v_mid := v_low + (v_high - v_low + 1) / 2;
    if coalesce((select b.sealed_at <= p_at from jobledger.blocks as b where b.shard = p_shard and b.block <= v_mid order by b.block desc limit 1), true) then
      v_low := v_mid;
    else
      v_high := v_mid - 1;
    end if;
  end loop;
  return query select b.epoch, b.block, b.last_position from jobledger.blocks as b where b.shard = p_shard and b.block <= v_low order by b.block desc limit 1;
  if not found then
    return query select 0, coalesce(v_low, 0), 0::bigint;
  end if;
end
$$;
