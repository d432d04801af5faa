-- The moment at which a block had been sealed up to a position of it, as named by a clock. A block that was carried over into its epoch holds transaction ids of the one before.
-- The position is kept within the block: parts of one difference share their snapshots, and are told apart by it.
create or replace function jobledger.moment_in(b jobledger.blocks, p_position bigint, p_at timestamptz) returns jobledger.moment
language sql stable
as $$
  select row(b.epoch, b.block, b.sealed_at, p_at,
    coalesce((select max(e.position_floor) from jobledger.epochs as e where e.shard = b.shard and e.epoch <= b.epoch and e.position_floor < b.first_position), 0),
    b.position_hwm, least(greatest(p_position, b.first_position - 1), b.last_position), b.since, b.snapshot)::jobledger.moment
$$;
