-- Pause a tenant, queue or kind: claims skip it at once, `tick` moves its rows in batches later. False: it was paused already.
drop function if exists jobledger.pause;

create function jobledger.pause(p_shard smallint, p_scope text, p_name text, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if p_scope is null or p_scope not in ('tenant', 'queue', 'kind') or coalesce(p_name, '') = '' then
    perform jobledger.refuse('JL101', 'What is paused is a tenant, queue or kind, by name.', 'Nothing was changed; mend the call.');
  end if;
  return jobledger.change_limit(p_shard, p_scope, p_name, 'paused', true, null, p_actor, p_reason);
end
$$;
