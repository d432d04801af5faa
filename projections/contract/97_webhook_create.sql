-- Create a webhook of one tenant, or of everybody (null or `_global`): a row, and the durable subscription that has its place. Its name is its owner's own. `created` false: it was there, the same.
-- Race: of two that create it at once the second waits, and finds it.
drop function if exists jobledger.webhook_create;

create function jobledger.webhook_create(
  p_shard smallint, p_tenant text, p_name text, p_url text, p_filter jsonb default '{}', p_batch int default 1, p_to text default 'end', p_epoch int default null,
  p_block bigint default null, p_position bigint default null, p_at timestamptz default null, p_actor text default null, p_reason text default null
) returns table (id uuid, generation int, created boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenant text := coalesce(p_tenant, '_global');
  v_filter jsonb := jsonb_strip_nulls(coalesce(p_filter, '{}'));
  v_id uuid := jobledger.new_id();
  v_slices smallint := 8;
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  if not jobledger.is_name(p_name) or not (v_tenant = '_global' or (jobledger.is_name(v_tenant) and v_tenant !~ '^_')) then
    perform jobledger.refuse('JL101', 'A webhook''s name, and its tenant''s, have 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begin with a letter or digit.',
      'Nothing was changed; mend the call.');
  end if;
  if coalesce(p_url collate "C" !~ '^https?://[!-~]+$' or length(p_url) > 2048, true) or coalesce(p_batch not between 1 and 100, true) then
    perform jobledger.refuse('JL101', 'A webhook has a URL of at most 2048 ASCII characters, and sends 1 to 100 events in a request.', 'Nothing was changed; mend the call.');
  end if;
  perform jobledger.check_event_filter(v_filter);
  perform jobledger.check_subscription_place(p_to, p_epoch, p_block, p_position, p_at);
  insert into jobledger.webhooks as w (id, created_at, changed_at, batch, shard, tenant, name, url, owner)
  values (v_id, v_now, v_now, p_batch, p_shard, v_tenant, p_name, p_url, coalesce(v_filter ->> 'owner', '')) on conflict do nothing;
  if not found then
    return query select w.id, w.generation, false from jobledger.webhooks as w join jobledger.subscriptions as s on s.shard = w.shard and s.id = w.id
    where w.shard = p_shard and w.tenant = v_tenant and w.owner = coalesce(v_filter ->> 'owner', '') and w.name = p_name and w.url = p_url and w.batch = p_batch and s.filter = v_filter;
    if not found then
      perform jobledger.refuse('JL211', 'A webhook of this name exists, with another URL, filter or size of a batch.', 'They are fixed: take another name, or remove it first.');
    end if;
    return;
  end if;
  if (select count(*) from jobledger.webhooks as w where w.shard = p_shard) > 1000 or (select count(*) from jobledger.webhooks as w where w.shard = p_shard and w.tenant = v_tenant) > 100 then
    perform jobledger.refuse('JL101', 'There are 100 webhooks of a tenant at most, and 1000 together.', 'Remove one that nobody needs.');
  end if;
  -- An endpoint that fails is waited for, and no event is ever set aside: the deliverer counts the failures.
  insert into jobledger.subscriptions (id, created_at, changed_at, lease_s, max_failures, backoff_s, shard, slices, keep_order, tenant, name, filter)
  values (v_id, v_now, v_now, 15, 1000, 1, p_shard, v_slices, false, v_tenant, 'webhook:' || v_id, v_filter);
  insert into jobledger.subscription_slices (subscription, moved_at, block, position, epoch, shard, slice)
  select v_id, v_now, p.block, p.position, p.epoch, p_shard, n from jobledger.subscription_place(p_shard, p_to, p_epoch, p_block, p_position, p_at) as p, generate_series(0, v_slices - 1) as n;
  -- Where it begins is told by its word: two places would tell a tenant how much everybody did between them.
  perform jobledger.append_control(p_shard, v_tenant, 'webhook', v_id::text, 'webhook.created', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', p_name, 'url', p_url, 'filter', nullif(v_filter, '{}'), 'begin', p_to, 'at', p_at, 'reason', p_reason)));
  return query select v_id, 1, true;
end
$$;
