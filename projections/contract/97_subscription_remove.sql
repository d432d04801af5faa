-- Remove a subscription with its checkpoints and what it had set aside; its own stream keeps what was done with it.
drop function if exists jobledger.subscription_remove;

create function jobledger.subscription_remove(p_shard smallint, p_tenant text, p_name text, p_actor text default null, p_reason text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, true, p_actor, p_reason);
begin
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = s.id order by t.slice for update;
  delete from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = s.id;
  delete from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = s.id;
  delete from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = s.id;
  delete from jobledger.subscriptions as x where x.shard = p_shard and x.id = s.id;
  perform jobledger.append_control(p_shard, s.tenant, 'subscription', s.name, 'subscription.removed', jobledger.now(), p_actor, jsonb_strip_nulls(jsonb_build_object('name', s.name, 'reason', p_reason)));
end
$$;
