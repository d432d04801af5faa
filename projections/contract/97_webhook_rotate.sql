-- Give a webhook another secret, and return its generation; the one before is good for a day more.
drop function if exists jobledger.webhook_rotate;

create function jobledger.webhook_rotate(p_shard smallint, p_tenant text, p_owner text, p_id uuid, p_actor text default null, p_reason text default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  w jobledger.webhooks := jobledger.webhook_of(p_shard, p_tenant, p_owner, p_id, p_actor, p_reason);
begin
  update jobledger.webhooks as x set generation = x.generation + 1, rotated_at = v_now, changed_at = v_now where x.shard = p_shard and x.id = w.id;
  perform jobledger.append_control(p_shard, w.tenant, 'webhook', w.id::text, 'webhook.rotated', v_now, p_actor, jsonb_strip_nulls(jsonb_build_object('name', w.name, 'reason', p_reason)));
  return w.generation + 1;
end
$$;
