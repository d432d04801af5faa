-- Remove a webhook with its checkpoints; its own stream keeps what was done with it. Whoever delivers for it finds its subscription gone.
drop function if exists jobledger.webhook_remove;

create function jobledger.webhook_remove(p_shard smallint, p_tenant text, p_owner text, p_id uuid, p_actor text default null, p_reason text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  w jobledger.webhooks := jobledger.webhook_of(p_shard, p_tenant, p_owner, p_id, p_actor, p_reason);
begin
  perform from jobledger.subscriptions as s where s.shard = p_shard and s.id = w.id for update;
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = w.id order by t.slice for update;
  delete from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = w.id;
  delete from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = w.id;
  delete from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = w.id;
  delete from jobledger.subscriptions as s where s.shard = p_shard and s.id = w.id;
  delete from jobledger.webhook_failures as f where f.shard = p_shard and f.webhook = w.id;
  delete from jobledger.webhooks as x where x.shard = p_shard and x.id = w.id;
  perform jobledger.append_control(p_shard, w.tenant, 'webhook', w.id::text, 'webhook.removed', jobledger.now(), p_actor, jsonb_strip_nulls(jsonb_build_object('name', w.name, 'reason', p_reason)));
end
$$;
