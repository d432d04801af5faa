-- Every projection with its checkpoint, and whether sealed blocks wait for it: what a runner asks for a few times a second, so it reads the end of the log and nothing else of it.
drop function if exists jobledger.projections_due;

create function jobledger.projections_due(p_shard smallint default 0)
returns table (name text, shadow boolean, version int, state text, effects boolean, made boolean, checksum text, block bigint, last_block bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_last bigint;
begin
  perform jobledger.check_projection(p_shard, 'any');
  v_last := coalesce((select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1), 0);
  return query select p.name, p.shadow, p.version, p.state, p.effects, p.made, p.checksum, p.block, v_last from jobledger.projections as p where p.shard = p_shard order by p.name, p.shadow;
end
$$;
