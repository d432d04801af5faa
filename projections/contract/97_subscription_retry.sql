-- Let what was set aside be tried again, or (`p_drop`) give it up: of these streams, or (null) all of it. Returns how many events that are.
drop function if exists jobledger.subscription_retry;

create function jobledger.subscription_retry(p_shard smallint, p_tenant text, p_name text, p_streams uuid[] default null, p_drop boolean default false, p_actor text default null, p_reason text default null)
returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, false, p_actor, p_reason);
  v_done int;
begin
  if p_drop is null or cardinality(p_streams) > 10000 then
    perform jobledger.refuse('JL101', 'A call names at most 10000 streams.', 'Name them in parts.');
  end if;
  update jobledger.subscription_set_aside as a set state = case when p_drop then 'dropped' else 'retry' end, changed_at = jobledger.now(), changed_by = p_actor, reason = p_reason
  where a.shard = p_shard and a.subscription = s.id and a.state <> 'dropped' and (p_drop or a.state <> 'retry') and (p_streams is null or a.stream_id = any (p_streams));
  get diagnostics v_done = row_count;
  if p_drop then
    perform jobledger.forget_dropped(p_shard, s.id);
  end if;
  return v_done;
end
$$;
