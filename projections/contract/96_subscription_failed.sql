-- Count a failure of the event behind a slice's checkpoint, and set it aside when it has failed too often: then the checkpoint moves behind it, and the rest goes on.
-- `p_what`: failed; try: counted before it is handed out (a consumer that dies at it says nothing), tried: its failure, counted already; held: set aside at once, because an
-- earlier event of the same job is; where an operator has those tried again, so is this one, behind them: nobody would ask for it once more.
-- At most 10,000 are set aside: then none is any more, and the slice waits at this event.
-- JL210: the slice is no longer this consumer's.
drop function if exists jobledger.subscription_failed;

create function jobledger.subscription_failed(
  p_shard smallint, p_id uuid, p_consumer uuid, p_slice smallint, p_taken int, p_what text, p_epoch int, p_block bigint, p_position bigint, p_stream uuid, p_version int, p_error text
) returns table (failures int, aside boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  s jobledger.subscriptions;
  t jobledger.subscription_slices;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_what is null or p_what not in ('failed', 'try', 'tried', 'held') or num_nulls(p_epoch, p_block, p_position, p_stream, p_version) > 0 or least(p_epoch, p_block, p_position, p_version) < 0 then
    perform jobledger.refuse('JL101', 'What is told of an event is failed, try, tried or held, with its place, stream and version.', 'Nothing was changed; mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  select * into s from jobledger.subscriptions as x where x.shard = p_shard and x.id = p_id;
  select * into t from jobledger.subscription_slices as x where x.shard = p_shard and x.subscription = p_id and x.slice = p_slice for update;
  if t.consumer is distinct from p_consumer or t.taken is distinct from p_taken or t.consumer is null or (p_block, p_position) <= (t.block, t.position) then
    perform jobledger.refuse('JL210', 'The slice is no longer this consumer''s.', 'Take slices again, and go on from their checkpoints.');
  end if;
  failures := case when t.failing = p_position then t.failures else 0 end;
  aside := p_what = 'held' or (p_what = 'try' and failures >= s.max_failures);
  if not aside then
    failures := failures + (p_what <> 'tried')::int;
    aside := p_what <> 'try' and failures >= s.max_failures;
  end if;
  -- The count reads at most as many rows as may be set aside, and only when one more is to be.
  if aside and (select count(*) from (select from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = p_id and a.state <> 'dropped' limit 10000) as n) = 10000 then
    aside := false;
  end if;
  if aside then
    insert into jobledger.subscription_set_aside as a (subscription, stream_id, first_at, changed_at, block, position, epoch, version, failures, shard, slice, state, error)
    values (p_id, p_stream, v_now, v_now, p_block, p_position, p_epoch, p_version, case p_what when 'held' then 0 else failures end, p_shard, p_slice,
      case when p_what <> 'held' then 'aside' when exists (select from jobledger.subscription_set_aside as x
        where x.shard = p_shard and x.subscription = p_id and x.stream_id = p_stream and x.state in ('aside', 'held')) then 'held' else 'retry' end, left(coalesce(p_error, case p_what when 'try' then 'The consumer ended while it had this event.' end), 2000))
    on conflict (shard, subscription, position) do update set changed_at = excluded.changed_at, state = excluded.state, failures = excluded.failures, error = excluded.error;
    update jobledger.subscription_slices as x set epoch = p_epoch, block = p_block, position = p_position, moved_at = v_now, failing = null, failures = 0, deaths = 0
    where x.shard = p_shard and x.subscription = p_id and x.slice = p_slice;
  else
    update jobledger.subscription_slices as x set failing = p_position, failures = subscription_failed.failures where x.shard = p_shard and x.subscription = p_id and x.slice = p_slice;
  end if;
  return next;
end
$$;
