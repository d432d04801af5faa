-- Let a webhook go on from a place, or (null) from where it is; one that is disabled goes on again, and what had failed counts from nothing.
-- Race: the rows of all slices are locked, in order; a checkpoint that is being written is waited for, and one that comes later finds its slice taken.
drop function if exists jobledger.webhook_reset;

create function jobledger.webhook_reset(
  p_shard smallint, p_tenant text, p_owner text, p_id uuid, p_to text default null, p_epoch int default null, p_block bigint default null, p_position bigint default null,
  p_at timestamptz default null, p_actor text default null, p_reason text default null
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  w jobledger.webhooks := jobledger.webhook_of(p_shard, p_tenant, p_owner, p_id, p_actor, p_reason);
  v_to record;
begin
  perform from jobledger.subscriptions as s where s.shard = p_shard and s.id = w.id for update;
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = w.id order by t.slice for update;
  if p_to is not null then
    select * into v_to from jobledger.subscription_place(p_shard, p_to, p_epoch, p_block, p_position, p_at);
    update jobledger.subscription_slices as t set epoch = v_to.epoch, block = v_to.block, position = v_to.position, moved_at = v_now, taken = t.taken + 1, failing = null, failures = 0, deaths = 0
    where t.shard = p_shard and t.subscription = w.id;
  elsif num_nonnulls(p_epoch, p_block, p_position, p_at) > 0 then
    perform jobledger.refuse('JL101', 'A place is given with a word: beginning, end, cursor or time.', 'Nothing was changed; mend the call.');
  end if;
  delete from jobledger.webhook_failures as f where f.shard = p_shard and f.webhook = w.id;
  update jobledger.subscriptions as s set disabled = false, changed_at = v_now where s.shard = p_shard and s.id = w.id;
  update jobledger.webhooks as x set changed_at = v_now, disabled_reason = null where x.shard = p_shard and x.id = w.id;
  perform jobledger.append_control(p_shard, w.tenant, 'webhook', w.id::text, 'webhook.reset', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', w.name, 'to', p_to, 'at', p_at, 'reason', p_reason)));
end
$$;
