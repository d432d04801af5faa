-- Forget a projection and its shadow, or (`p_shadow_only`) the shadow alone, which gives a rebuild up. Returns how many there were. Called first in the transaction that drops
-- their schemas; waits for a batch that is being folded.
create or replace function jobledger.projection_drop(p_shard smallint, p_name text, p_shadow_only boolean default false) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_dropped int;
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_shadow_only is null then
    perform jobledger.refuse('JL101', 'Whether only the shadow is dropped is true or false.', 'Mend the call.');
  end if;
  delete from jobledger.projections as p where p.shard = p_shard and p.name = p_name and (p.shadow or not p_shadow_only);
  get diagnostics v_dropped = row_count;
  return v_dropped;
end
$$;
