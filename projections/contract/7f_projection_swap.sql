-- Put a shadow in the place of the projection: it takes over where the shadow stands. False: the shadow is not there, stopped, or behind what it is to replace.
-- Called first in the transaction that drops the old schema and gives the shadow's its name; both rows are locked, so that no batch is being folded meanwhile.
create or replace function jobledger.projection_swap(p_shard smallint, p_name text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  v_live jobledger.projections;
  v_next jobledger.projections;
  v_last bigint;
begin
  perform jobledger.check_projection(p_shard, p_name);
  select * into v_live from jobledger.projections as p where p.shard = p_shard and p.name = p_name and not p.shadow for update;
  select * into v_next from jobledger.projections as p where p.shard = p_shard and p.name = p_name and p.shadow for update;
  v_last := coalesce((select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1), 0);
  if v_next is null or not v_next.made or v_next.state = 'stopped' or v_next.block < least(coalesce(v_live.block, 0), v_last) or (v_live.state = 'stopped' and v_next.block < v_last) then
    return false;
  end if;
  delete from jobledger.projections as p where p.shard = p_shard and p.name = p_name and not p.shadow;
  update jobledger.projections as p set shadow = false, state = 'running', updated_at = jobledger.now() where p.shard = p_shard and p.name = p_name and p.shadow;
  return true;
end
$$;
