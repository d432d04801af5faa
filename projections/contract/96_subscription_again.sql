-- The events that an operator wants tried again, of the slices that this consumer has, in their order: at most `p_limit`. One whose partition was dropped has no type.
drop function if exists jobledger.subscription_again;

create function jobledger.subscription_again(p_shard smallint, p_id uuid, p_consumer uuid, p_limit int default 100)
returns table (slice smallint, block bigint, epoch int, sealed_at timestamptz, shard smallint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if coalesce(p_limit not between 1 and 10000, true) then
    perform jobledger.refuse('JL101', 'A call gives 1 to 10000 events.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query
  select a.slice, a.block, a.epoch, a.first_at, a.shard, a.position, a.stream_id, a.version, e.type::text, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text
  from jobledger.subscription_set_aside as a
  join jobledger.subscription_slices as t on t.shard = a.shard and t.subscription = a.subscription and t.slice = a.slice and t.consumer = p_consumer
  left join lateral (select x.* from jobledger.events as x where x.shard = a.shard and x.stream_id = a.stream_id and x.version = a.version offset 0) as e on true
  where a.shard = p_shard and a.subscription = p_id and a.state = 'retry' order by a.block, a.position limit p_limit;
end
$$;
