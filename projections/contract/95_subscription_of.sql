-- The subscription of this name, its row locked where it is to be changed: so takes, resets and removals of one subscription go one after the other.
-- Refuses what all these functions refuse: callers that are bound to tenants, since a checkpoint is a place in everybody's order.
create or replace function jobledger.subscription_of(p_shard smallint, p_tenant text, p_name text, p_lock boolean, p_actor text default null, p_reason text default null)
returns jobledger.subscriptions
language plpgsql
as $$
declare
  s jobledger.subscriptions;
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  if p_lock and p_name like 'webhook:%' then
    perform jobledger.refuse('JL101', 'A webhook''s subscription is changed by what changes webhooks.', 'Reset, disable or remove the webhook.');
  end if;
  if p_lock then
    select * into s from jobledger.subscriptions as x where x.shard = p_shard and x.tenant = coalesce(p_tenant, '_global') and x.name = p_name for update;
  else
    select * into s from jobledger.subscriptions as x where x.shard = p_shard and x.tenant = coalesce(p_tenant, '_global') and x.name = p_name;
  end if;
  if s.id is null then
    perform jobledger.refuse('JL300', 'There is no such subscription.', 'Create it, or look at the list.');
  end if;
  return s;
end
$$;
