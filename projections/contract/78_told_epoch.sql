-- The epoch that a cursor at this block carries: up to the horizon with the number of drops above it (2^20), since a place there is good only until the next drop: what a reader before
-- it has not read may be gone. `check_place` reads it.
create or replace function jobledger.told_epoch(p_shard smallint, p_block bigint, p_epoch int) returns int
language sql stable
as $$
  select p_epoch + coalesce((select h.generation << 20 from jobledger.horizon as h where h.shard = p_shard and p_block <= h.block), 0)
$$;
