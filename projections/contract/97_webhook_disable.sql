-- Send nothing to a webhook's endpoint until it is reset. False: it was disabled already.
drop function if exists jobledger.webhook_disable;

create function jobledger.webhook_disable(p_shard smallint, p_tenant text, p_owner text, p_id uuid, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return jobledger.webhook_stop(jobledger.webhook_of(p_shard, p_tenant, p_owner, p_id, p_actor, p_reason), p_actor, p_reason);
end
$$;
