-- Take a projection whose tables are to be made, until the caller's transaction ends, and note what they are made from. False: somebody else is at it, or they were made.
-- One with effects is never made anew: a higher version of its fold takes over where it stands, and only that is noted.
-- Called first in the transaction that makes the schema and its tables, so that both are there or neither.
create or replace function jobledger.projection_make(p_shard smallint, p_name text, p_shadow boolean, p_version int, p_checksum text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_shadow is null or p_version is null or p_version < 1 or length(p_checksum) > 64 then
    perform jobledger.refuse('JL101', 'A projection has a version from 1 on, and a checksum of at most 64 characters.', 'Mend the call.');
  end if;
  perform from jobledger.projections as p where p.shard = p_shard and p.name = p_name and p.shadow = p_shadow and (not p.made or (p.effects and p.version < p_version)) and p.state <> 'stopped' for update skip locked;
  if not found then
    return false;
  end if;
  update jobledger.projections as p set made = true, version = p_version, checksum = p_checksum, updated_at = jobledger.now()
  where p.shard = p_shard and p.name = p_name and p.shadow = p_shadow;
  return true;
end
$$;
