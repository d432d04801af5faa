-- Send nothing more to a webhook's endpoint until it is reset, and say why: the caller has locked its row. False: it was so already.
-- Race: the subscription's row is locked, as by a take, so that no consumer joins meanwhile; who consumes now finds out when it looks for webhooks again.
create or replace function jobledger.webhook_stop(w jobledger.webhooks, p_actor text, p_reason text) returns boolean
language plpgsql
as $$
declare
  v_now timestamptz := jobledger.now();
begin
  update jobledger.subscriptions as s set disabled = true, changed_at = v_now where s.shard = w.shard and s.id = w.id and not s.disabled;
  if not found then
    return false;
  end if;
  update jobledger.webhooks as x set changed_at = v_now, disabled_reason = p_reason where x.shard = w.shard and x.id = w.id;
  perform jobledger.append_control(w.shard, w.tenant, 'webhook', w.id::text, 'webhook.disabled', v_now, p_actor, jsonb_strip_nulls(jsonb_build_object('name', w.name, 'reason', p_reason)));
  return true;
end
$$;
