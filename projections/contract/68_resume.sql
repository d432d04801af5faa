-- End a pause of a tenant, queue or kind; `tick` brings its jobs back. False: it was not paused.
-- Idle workers are told of those that lie where they were.
drop function if exists jobledger.resume;

create function jobledger.resume(p_shard smallint, p_scope text, p_name text, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed boolean;
begin
  if p_scope is null or p_scope not in ('tenant', 'queue', 'kind') or coalesce(p_name, '') = '' then
    perform jobledger.refuse('JL101', 'What is resumed is a tenant, queue or kind, by name.', 'Nothing was changed; mend the call.');
  end if;
  v_changed := jobledger.change_limit(p_shard, p_scope, p_name, 'resumed', false, null, p_actor, p_reason);
  if v_changed then
    perform jobledger.hint(p_shard, case p_scope when 'queue' then p_name end, case p_scope when 'tenant' then p_name end, case p_scope when 'kind' then p_name end);
  end if;
  return v_changed;
end
$$;
