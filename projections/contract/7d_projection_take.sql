-- Take the next blocks of a projection: whole ones, at least one, together at most `p_events` events and 10,000 blocks. The checkpoint moves here, in the caller's transaction,
-- which then folds the blocks above `after` up to `upto`: both are committed, or neither. `more`: there are blocks beyond. A projection that has come to the end for the first
-- time is no longer `rebuilding`; a shadow stays so until it is swapped.
-- No row: another runner is at it (its row is locked: it waits for nobody), it is stopped, its tables are not made, or nothing waits (`upto` is null then: it is at the end).
-- Race: retention that gives up or merges what this batch is about to read would hide some of it, or show some of it again; so it waits until the caller's transaction ends, and this for it.
-- JL207: the log does not have its checkpoint, or retention dropped what comes next (see check_projection_place).
drop function if exists jobledger.projection_take;

create function jobledger.projection_take(p_shard smallint, p_name text, p_shadow boolean, p_events int default 20000)
returns table (version int, after bigint, upto bigint, events bigint, as_of timestamptz, rebuilding boolean, more boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_row jobledger.projections;
  b record;
  v_upto bigint;
  v_events bigint := 0;
  v_epoch int;
  v_sealed_at timestamptz;
  v_more boolean;
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_shadow is null or p_events is null or p_events not between 1 and 100000 then
    perform jobledger.refuse('JL101', 'A batch has 1 to 100000 events; whether it is a shadow''s is true or false.', 'Mend the call.');
  end if;
  select * into v_row from jobledger.projections as p
  where p.shard = p_shard and p.name = p_name and p.shadow = p_shadow and p.made and p.state <> 'stopped' for update skip locked;
  if not found then
    return;
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('jobledger.fold'), p_shard::int);
  perform jobledger.check_projection_place(p_shard, v_row);
  for b in select x.block, x.count, x.epoch, x.sealed_at from jobledger.blocks as x where x.shard = p_shard and x.block > v_row.block order by x.block limit 10000 loop
    exit when v_upto is not null and v_events + b.count > p_events;
    v_upto := b.block;
    v_events := v_events + b.count;
    v_epoch := b.epoch;
    v_sealed_at := b.sealed_at;
  end loop;
  v_more := exists (select from jobledger.blocks as b where b.shard = p_shard and b.block > v_upto);
  if v_upto is not null or (v_row.state = 'rebuilding' and not v_row.shadow) then
    update jobledger.projections as p set block = coalesce(v_upto, p.block), epoch = coalesce(jobledger.told_epoch(p_shard, v_upto, v_epoch), p.epoch), as_of = coalesce(v_sealed_at, p.as_of), events = p.events + v_events,
      updated_at = jobledger.now(), state = case when p.state = 'rebuilding' and not p.shadow and not v_more then 'running' else p.state end
    where p.shard = p_shard and p.name = p_name and p.shadow = p_shadow;
  end if;
  return query select v_row.version, v_row.block, v_upto, v_events, v_sealed_at, v_row.state = 'rebuilding', v_more;
end
$$;
