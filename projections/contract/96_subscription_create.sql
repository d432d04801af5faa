-- Create a durable subscription of one tenant, or of everybody (null or `_global`). True: it is new; false: it was there with the same filter and slices, and takes over the
-- other options. Its filter (types, queue, kind, owner) and the number of its slices are fixed. Race: of two that create it at once the second waits, and finds it.
drop function if exists jobledger.subscription_create;

create function jobledger.subscription_create(
  p_shard smallint, p_tenant text, p_name text, p_filter jsonb default '{}', p_slices int default 8, p_strict boolean default false, p_max_failures int default 5,
  p_backoff_s real default 1, p_lease_s int default 30, p_to text default 'beginning', p_epoch int default null, p_block bigint default null, p_position bigint default null,
  p_at timestamptz default null, p_actor text default null, p_reason text default null
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_tenant text := coalesce(p_tenant, '_global');
  v_filter jsonb := jsonb_strip_nulls(coalesce(p_filter, '{}'));
  v_id uuid := jobledger.control_id(coalesce(p_tenant, '_global'), 'subscription', p_name);
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  if not jobledger.is_name(p_name) or not (v_tenant = '_global' or (jobledger.is_name(v_tenant) and v_tenant !~ '^_')) then
    perform jobledger.refuse('JL101', 'A subscription''s name, and its tenant''s, have 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begin with a letter or digit.',
      'Nothing was changed; mend the call.');
  end if;
  if p_strict is null or coalesce(p_slices not between 1 and 256, true) or coalesce(p_max_failures not between 1 and 1000, true)
      or coalesce(not (p_backoff_s >= 0 and p_backoff_s <= 3600), true) or coalesce(p_lease_s not between 2 and 3600, true) then
    perform jobledger.refuse('JL101', 'A subscription has 1 to 256 slices, 1 to 1000 failures, a back-off of 0 to 3600 s and a lease of 2 to 3600 s.', 'Nothing was changed; mend the call.');
  end if;
  if p_name like 'webhook:%' then
    perform jobledger.refuse('JL101', 'Names that begin with webhook: are those of webhooks.', 'Take another name, or create a webhook.');
  end if;
  perform jobledger.check_event_filter(v_filter);
  perform jobledger.check_subscription_place(p_to, p_epoch, p_block, p_position, p_at);
  insert into jobledger.subscriptions as s (id, created_at, changed_at, lease_s, max_failures, backoff_s, shard, slices, keep_order, tenant, name, filter)
  values (v_id, v_now, v_now, p_lease_s, p_max_failures, p_backoff_s, p_shard, p_slices, p_strict, v_tenant, p_name, v_filter) on conflict do nothing;
  if not found then
    update jobledger.subscriptions as s set lease_s = p_lease_s, max_failures = p_max_failures, backoff_s = p_backoff_s
    where s.shard = p_shard and s.tenant = v_tenant and s.name = p_name and s.slices = p_slices and s.keep_order = p_strict and s.filter = v_filter;
    if not found then
      perform jobledger.refuse('JL211', 'A subscription of this name exists, with another filter, number of slices or strictness.', 'They are fixed: take another name, or remove it first.');
    end if;
    return false;
  end if;
  if (select count(*) from jobledger.subscriptions as s where s.shard = p_shard and s.name not like 'webhook:%') > 1000 then
    perform jobledger.refuse('JL101', 'There are 1000 subscriptions at most.', 'Remove one that nobody needs.');
  end if;
  insert into jobledger.subscription_slices (subscription, moved_at, block, position, epoch, shard, slice)
  select v_id, v_now, p.block, p.position, p.epoch, p_shard, n from jobledger.subscription_place(p_shard, p_to, p_epoch, p_block, p_position, p_at) as p, generate_series(0, p_slices - 1) as n;
  -- Where it begins is told by its word: two places would tell a tenant how much everybody did between them.
  perform jobledger.append_control(p_shard, v_tenant, 'subscription', p_name, 'subscription.created', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', p_name, 'filter', nullif(v_filter, '{}'), 'slices', p_slices, 'begin', p_to, 'at', p_at, 'reason', p_reason)));
  return true;
end
$$;
