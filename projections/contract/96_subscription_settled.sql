-- An event that was tried again is done (no error), or set aside once more. Returns how many of its stream are still set aside. JL210: its slice is no longer this consumer's.
drop function if exists jobledger.subscription_settled;

create function jobledger.subscription_settled(p_shard smallint, p_id uuid, p_consumer uuid, p_position bigint, p_error text default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  a jobledger.subscription_set_aside;
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  select * into a from jobledger.subscription_set_aside as x where x.shard = p_shard and x.subscription = p_id and x.position = p_position and x.state = 'retry' for update;
  if a.position is null or not exists (select from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = p_id and t.slice = a.slice and t.consumer = p_consumer) then
    perform jobledger.refuse('JL210', 'The slice is no longer this consumer''s.', 'Take slices again, and go on from their checkpoints.');
  end if;
  if p_error is null then
    delete from jobledger.subscription_set_aside as x where x.shard = p_shard and x.subscription = p_id and x.position = p_position;
  else
    -- What waits behind it in a strict subscription waits on.
    update jobledger.subscription_set_aside as x set state = case when x.position = p_position then 'aside' else 'held' end, changed_at = jobledger.now(),
      failures = x.failures + (x.position = p_position)::int, error = case when x.position = p_position then left(p_error, 2000) else x.error end
    where x.shard = p_shard and x.subscription = p_id and x.state = 'retry'
      and (x.position = p_position or (x.stream_id = a.stream_id and x.position > p_position and (select s.keep_order from jobledger.subscriptions as s where s.shard = p_shard and s.id = p_id)));
  end if;
  return (select count(*) from jobledger.subscription_set_aside as x where x.shard = p_shard and x.subscription = p_id and x.stream_id = a.stream_id and x.state <> 'dropped');
end
$$;
