-- The webhook of this id, its row locked. One of another tenant or owner than asked for (null: any) is answered as one that does not exist.
-- Refuses callers that are bound to tenants: what a webhook reads is the order of the log, which is everybody's.
create or replace function jobledger.webhook_of(p_shard smallint, p_tenant text, p_owner text, p_id uuid, p_actor text default null, p_reason text default null) returns jobledger.webhooks
language plpgsql
as $$
declare
  w jobledger.webhooks;
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  select * into w from jobledger.webhooks as x where x.shard = p_shard and x.id = p_id and (p_tenant is null or x.tenant = p_tenant) and (p_owner is null or x.owner = p_owner) for update;
  if w.id is null then
    perform jobledger.refuse('JL300', 'There is no such webhook.', 'Create it, or look at the list.');
  end if;
  return w;
end
$$;
