-- Every projection, and how far it is behind the sealed log: `behind` in events (exact up to 10,000 blocks, above that by positions, which count what was rolled back too) and
-- `behind_s`, the age of the oldest sealed block that it has not taken in. `total` is `events` and `behind`: what it will have folded at the log's end.
drop function if exists jobledger.projection_list;

create function jobledger.projection_list(p_shard smallint default 0)
returns table (name text, shadow boolean, version int, state text, effects boolean, epoch int, block bigint, as_of timestamptz, events bigint, behind bigint, behind_s float8, error text, failed_at timestamptz, made_at timestamptz, updated_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_last jobledger.blocks;
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_projection(p_shard, 'any');
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  return query
  select p.name, p.shadow, p.version, p.state, p.effects, p.epoch & 1048575, p.block, p.as_of, p.events,
    case when p.block >= coalesce(v_last.block, 0) then 0 when v_last.block - p.block <= 10000
      then (select sum(b.count) from jobledger.blocks as b where b.shard = p_shard and b.block > p.block)::bigint
      else v_last.position_hwm - coalesce((select b.position_hwm from jobledger.blocks as b where b.shard = p_shard and b.block <= p.block order by b.block desc limit 1), 0) end,
    greatest(0, coalesce(extract(epoch from v_now - (select b.sealed_at from jobledger.blocks as b where b.shard = p_shard and b.block > p.block order by b.block limit 1)), 0))::float8,
    p.error, p.failed_at, p.made_at, p.updated_at
  from jobledger.projections as p where p.shard = p_shard order by p.name, p.shadow;
end
$$;
