-- Give the consumers of a subscription nothing more until it is reset. They are told when they renew, and store their last checkpoints. False: it was disabled already.
drop function if exists jobledger.subscription_disable;

create function jobledger.subscription_disable(p_shard smallint, p_tenant text, p_name text, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, true, p_actor, p_reason);
begin
  if s.disabled then
    return false;
  end if;
  update jobledger.subscriptions as x set disabled = true, changed_at = v_now where x.shard = p_shard and x.id = s.id;
  perform jobledger.append_control(p_shard, s.tenant, 'subscription', s.name, 'subscription.disabled', v_now, p_actor, jsonb_strip_nulls(jsonb_build_object('name', s.name, 'reason', p_reason)));
  return true;
end
$$;
