-- Give slices back, or (null) all of them and leave: others take them at once, from the last checkpoint on. What is not this consumer's stays as it is.
drop function if exists jobledger.subscription_release;

create function jobledger.subscription_release(p_shard smallint, p_id uuid, p_consumer uuid, p_slices smallint[] default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = p_id and t.consumer = p_consumer and (p_slices is null or t.slice = any (p_slices)) order by t.slice for update;
  update jobledger.subscription_slices as t set consumer = null, taken = t.taken + 1
  where t.shard = p_shard and t.subscription = p_id and t.consumer = p_consumer and (p_slices is null or t.slice = any (p_slices));
  delete from jobledger.subscription_consumers as c where p_slices is null and c.shard = p_shard and c.subscription = p_id and c.consumer = p_consumer;
end
$$;
