-- Let a subscription go on from another place (see subscription_place), or with no `p_to` from where it was; a disabled one goes on again. Whoever has a slice loses it
-- and begins anew. What was set aside behind the new place comes again, so it is no longer set aside.
-- Race: the rows of all slices are locked, in order; a checkpoint that is being written is waited for, and one that comes later finds its slice taken.
drop function if exists jobledger.subscription_reset;

create function jobledger.subscription_reset(
  p_shard smallint, p_tenant text, p_name text, p_to text default null, p_epoch int default null, p_block bigint default null, p_position bigint default null,
  p_at timestamptz default null, p_actor text default null, p_reason text default null
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, true, p_actor, p_reason);
  v_to record;
begin
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = s.id order by t.slice for update;
  if p_to is not null then
    select * into v_to from jobledger.subscription_place(p_shard, p_to, p_epoch, p_block, p_position, p_at);
    update jobledger.subscription_slices as t set epoch = v_to.epoch, block = v_to.block, position = v_to.position, moved_at = v_now, taken = t.taken + 1, failing = null, failures = 0, deaths = 0
    where t.shard = p_shard and t.subscription = s.id;
    delete from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = s.id and (a.block, a.position) > (v_to.block, v_to.position);
  elsif num_nonnulls(p_epoch, p_block, p_position, p_at) > 0 then
    perform jobledger.refuse('JL101', 'A place is given with a word: beginning, end, cursor or time.', 'Nothing was changed; mend the call.');
  end if;
  update jobledger.subscriptions as x set disabled = false, changed_at = v_now where x.shard = p_shard and x.id = s.id;
  perform jobledger.append_control(p_shard, s.tenant, 'subscription', s.name, 'subscription.reset', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', s.name, 'to', p_to, 'at', p_at, 'slices', s.slices, 'reason', p_reason)));
end
$$;
