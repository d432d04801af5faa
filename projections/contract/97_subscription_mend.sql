-- Move the slices whose checkpoint the log does not have, behind its end or before its horizon, to the place that a reset names (see check_place); the others stay.
-- Returns how many moved and why. Consumers call it when their feed was reset; who has such a slice loses it and goes on from the new place.
drop function if exists jobledger.subscription_mend;

create function jobledger.subscription_mend(p_shard smallint, p_id uuid) returns table (moved int, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  s jobledger.subscriptions;
  t jobledger.subscription_slices;
  v_told text;
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  select * into s from jobledger.subscriptions as x where x.shard = p_shard and x.id = p_id for update;
  if s.id is null then
    perform jobledger.refuse('JL300', 'There is no such subscription.', 'Create it, or look at the list.');
  end if;
  moved := 0;
  for t in select * from jobledger.subscription_slices as x where x.shard = p_shard and x.subscription = p_id order by x.slice for update loop
    begin
      perform jobledger.check_place(p_shard, t.epoch, t.block, t.position);
    exception when sqlstate 'JL207' then
      get stacked diagnostics v_told = pg_exception_detail;
      reason := v_told::jsonb ->> 'reason';
      moved := moved + 1;
      update jobledger.subscription_slices as x set epoch = (v_told::jsonb ->> 'epoch')::int, block = (v_told::jsonb ->> 'block')::bigint, position = (v_told::jsonb ->> 'position')::bigint,
        moved_at = v_now, taken = x.taken + 1, failing = null, failures = 0, deaths = 0
      where x.shard = p_shard and x.subscription = p_id and x.slice = t.slice;
    end;
  end loop;
  if moved > 0 then
    update jobledger.subscriptions as x set changed_at = v_now where x.shard = p_shard and x.id = p_id;
    perform jobledger.append_control(p_shard, s.tenant, 'subscription', s.name, 'subscription.reset', v_now, null, jsonb_build_object('name', s.name, 'to', reason, 'slices', moved));
  end if;
  return next;
end
$$;
