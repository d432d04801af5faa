-- The events that an operator wants tried again, of the slices that this consumer has, in their order: at most `p_limit`. What retention has dropped since can never be tried:
-- where it comes first it is noted as dropped, else as many as a call gives would hold up for ever what comes behind them. While its partition is only being given up it is passed by, for that may come back.
drop function if exists jobledger.subscription_again;

create function jobledger.subscription_again(p_shard smallint, p_id uuid, p_consumer uuid, p_limit int default 100)
returns table (slice smallint, block bigint, epoch int, sealed_at timestamptz, shard smallint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off
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
  loop
    with first as materialized (
      select a.position, a.stream_id from jobledger.subscription_set_aside as a
      join jobledger.subscription_slices as t on t.shard = a.shard and t.subscription = a.subscription and t.slice = a.slice and t.consumer = p_consumer
      where a.shard = p_shard and a.subscription = p_id and a.state = 'retry' order by a.block, a.position limit p_limit
    )
    update jobledger.subscription_set_aside as x set state = 'dropped', changed_at = jobledger.now(), changed_by = 'jobledger', reason = 'Its partition of the log was dropped by retention.'
    from first as f where x.shard = p_shard and x.subscription = p_id and x.position = f.position and x.state = 'retry'
      and exists (select from jobledger.retired as r where r.shard = p_shard and f.stream_id >= r.lower and f.stream_id < r.upper and r.dropped_at is not null);
    exit when not found;
    perform jobledger.forget_dropped(p_shard, p_id);
  end loop;
  return query
  select a.slice, a.block, a.epoch, a.first_at, a.shard, a.position, a.stream_id, a.version, e.type::text, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text
  from jobledger.subscription_set_aside as a
  join jobledger.subscription_slices as t on t.shard = a.shard and t.subscription = a.subscription and t.slice = a.slice and t.consumer = p_consumer
  cross join lateral (select x.* from jobledger.events as x where x.shard = a.shard and x.stream_id = a.stream_id and x.version = a.version offset 0) as e
  where a.shard = p_shard and a.subscription = p_id and a.state = 'retry' order by a.block, a.position limit p_limit;
end
$$;
