-- The last block that fits all that is given: sealed at or before a time, of an epoch up to one, and in that epoch seen whole by a snapshot. Each holds for all blocks before one for
-- which it holds, so halves are looked at: one descent each, some twenty for millions of blocks. Numbers may be missing, where blocks were merged.
create or replace function jobledger.last_block(p_shard smallint, p_at timestamptz, p_epoch int default null, p_snapshot pg_snapshot default null) returns jobledger.blocks
language plpgsql stable set enable_seqscan = off
as $$
declare
  b jobledger.blocks;
  v_best jobledger.blocks;
  v_low bigint;
  v_high bigint;
  v_mid bigint;
  v_floor bigint;
begin
  select x.block into v_low from jobledger.blocks as x where x.shard = p_shard order by x.block limit 1;
  select x.block into v_high from jobledger.blocks as x where x.shard = p_shard order by x.block desc limit 1;
  select e.position_floor into v_floor from jobledger.epochs as e where e.shard = p_shard and e.epoch = p_epoch;
  -- Most ask for what was a moment ago: the end is looked at first.
  v_mid := v_high;
  while v_low <= v_high loop
    select * into b from jobledger.blocks as x where x.shard = p_shard and x.block <= v_mid and x.block >= v_low order by x.block desc limit 1;
    if not found then
      v_low := v_mid + 1;
    elsif (p_at is null or b.sealed_at <= p_at) and (p_epoch is null or b.epoch < p_epoch
      or (b.epoch = p_epoch and (p_snapshot is null or b.first_position <= v_floor or jobledger.sees_all(p_snapshot, b.snapshot)))) then
      v_best := b;
      v_low := v_mid + 1;
    else
      v_high := b.block - 1;
    end if;
    v_mid := (v_low + v_high + 1) / 2;
  end loop;
  return v_best;
end
$$;
