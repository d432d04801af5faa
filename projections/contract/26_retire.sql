-- Give up a partition of the log, first step: move the horizon behind the last of its events, so that a reader that has not come so far is told before anything is missing, and say
-- that it is retired. Repeated it looks again: an event may have come since. Answers what stands in the way, or null:
-- recent (the running month and the one before are kept), live, workers, unsealed (seal, and ask again). Nothing is changed then.
-- The copy of the live tables forgets the partition's jobs: they have ended since it was taken, and recovery would know that only from events that go. A copy that is being taken
-- is waited for; a later one finds none. A batch that a projection is folding is waited for, too: see projection_take.
create or replace function jobledger.retire(p_shard smallint, p_name text, p_actor text) returns text
language plpgsql set timezone = 'UTC'
as $$
declare
  v_now timestamptz := jobledger.now();
  v_range record;
  v_end record;
  v_held record;
  v_copied bigint;
begin
  perform jobledger.check_words(p_shard, p_actor, null);
  select * into v_range from jobledger.partition_range(p_name);
  if v_range.lower is null or to_regclass('jobledger.' || p_name) is null then
    perform jobledger.refuse('JL101', 'The log has no such partition that could be dropped.', '`jobledger partitions list` names them.');
  end if;
  if v_range.upper > date_trunc('month', v_now, 'UTC') - interval '1 month' then
    return 'recent';
  end if;
  select * into v_held from jobledger.partition_holds(p_shard, v_range.first, v_range.last);
  if v_held.live + v_held.workers > 0 then
    return case when v_held.live > 0 then 'live' else 'workers' end;
  end if;
  perform pg_advisory_xact_lock(hashtext('jobledger.snapshot'), p_shard::int);
  perform pg_advisory_xact_lock(hashtext('jobledger.fold'), p_shard::int);
  v_end := jobledger.partition_end(p_shard, p_name);
  if v_end.block is null then
    return 'unsealed';
  end if;
  insert into jobledger.retired (shard, name, lower, upper, begun_at, begun_by) values (p_shard, p_name, v_range.first, v_range.last, v_now, p_actor) on conflict do nothing;
  if found then
    -- 2,047 fit a cursor: 170 years of months.
    update jobledger.horizon as h set generation = least(h.generation + 1, 2047), moved_at = v_now where h.shard = p_shard;
  end if;
  update jobledger.horizon as h set block = v_end.block, position = v_end.position, epoch = v_end.epoch, moved_at = v_now
  where h.shard = p_shard and (h.block, h.position) < (v_end.block, v_end.position);
  delete from jobledger.queue_snapshot_rows as q where q.shard = p_shard and q.id >= v_range.first and q.id < v_range.last;
  get diagnostics v_copied = row_count;
  update jobledger.queue_snapshots as q set rows = q.rows - v_copied where q.shard = p_shard and v_copied > 0;
  return null;
end
$$;
