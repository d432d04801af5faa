-- Enter a projection, or the shadow of one that is there (a rebuild). It begins at the beginning of the log; one whose fold has effects begins at the log's end, and has no shadow.
-- What begins begins with what retention has left; a rebuild would lose what the old one still holds, and is told so by its first batch.
-- False: it is there already, or somebody else has just entered it. JL300: a shadow of what is not there. The tables are made later, by the runner that takes it up first.
create or replace function jobledger.projection_begin(p_shard smallint, p_name text, p_version int, p_shadow boolean default false, p_effects boolean default false) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  v_live jobledger.projections;
  v_last jobledger.blocks;
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_shadow is null or p_effects is null or (p_version is null and not p_shadow) or p_version < 1 then
    perform jobledger.refuse('JL101', 'A projection has a version from 1 on; whether it is a shadow and has effects is true or false.', 'Mend the call.');
  end if;
  if p_shadow then
    select * into v_live from jobledger.projections as p where p.shard = p_shard and p.name = p_name and not p.shadow;
    if v_live is null then
      perform jobledger.refuse('JL300', 'There is no projection of this name.', 'jobledger projections list shows those there are.');
    end if;
    if v_live.effects or p_effects then
      perform jobledger.refuse('JL101', 'A fold with effects is never run over what it has seen.', 'Drop the projection; its app then begins it anew at the log''s end.');
    end if;
  end if;
  if p_effects then
    select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  end if;
  insert into jobledger.projections (made_at, updated_at, as_of, block, events, version, epoch, shard, shadow, effects, made, state, name)
  values (v_now, v_now, v_last.sealed_at, coalesce(v_last.block, 0), 0, coalesce(p_version, v_live.version), 
    coalesce(v_last.epoch, case when p_shadow then 0 else jobledger.told_epoch(p_shard, 0, 0) end), p_shard, p_shadow, p_effects, false, case when p_effects then 'running' else 'rebuilding' end, p_name)
  on conflict do nothing;
  return found;
end
$$;
