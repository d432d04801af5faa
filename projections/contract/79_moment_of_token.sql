-- The moment of a live answer, by what `seen` said of it: exactly what that answer saw, named by its clock.
-- The last event that it saw, or the last block where it saw none since, must still be what it was, and this very statement must see all that the answer saw: else it was given by another copy
-- of the database, or before a volume was set back or a crash took back what had not been flushed, or the caller's own REPEATABLE READ snapshot is older. What is missing behind the
-- horizon was merged, or went with its partition.
-- One of an earlier epoch must also lie within what was sealed in it: its own blocks are all that is known of that cluster's ids. An answer given after the last of them is refused, since
-- transactions that it saw may not have come along. Only for who sees every tenant.
drop function if exists jobledger.moment_of_token;

create function jobledger.moment_of_token(p_shard smallint, p_epoch int, p_mark bigint, p_block bigint, p_position bigint, p_snapshot pg_snapshot, p_at timestamptz) returns jobledger.moment
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
  b jobledger.blocks;
  e jobledger.events;
  v_epoch jobledger.epochs;
  v_last jobledger.blocks;
  v_hwm bigint := 9223372036854775807;
  v_known boolean;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.must_see_order();
  if num_nulls(p_epoch, p_mark, p_block, p_position, p_snapshot, p_at) > 0 or not isfinite(p_at) or pg_snapshot_xmax(p_snapshot) > '9223372036854775807' then
    perform jobledger.refuse('JL101', 'A token names an epoch, a block, a position, a snapshot and a time.', 'Give one that an answer carried.');
  end if;
  select * into v_epoch from jobledger.epochs as x where x.shard = p_shard and x.epoch = p_epoch;
  select * into e from jobledger.events as x where x.xid = ((pg_snapshot_xmax(p_snapshot)::text::bigint - 1)::text::xid8) and x.position = p_position and x.shard = p_shard limit 1;
  select * into b from jobledger.blocks as x where x.shard = p_shard and x.block = p_block and p_position = 0;
  v_known := jobledger.mark(v_epoch, e, b) = p_mark or (jobledger.mark(v_epoch, e, b) >> 32 = p_mark >> 32 and case when p_position > 0 then e.position else b.block end is null
    and exists (select from jobledger.horizon as h where h.shard = p_shard and h.block >= p_block));
  v_last := jobledger.last_block(p_shard, null, p_epoch);
  if v_known and exists (select from jobledger.epochs as x where x.shard = p_shard and x.epoch > p_epoch) then
    v_hwm := v_last.position_hwm;
    v_known := v_last.epoch = p_epoch and v_last.first_position > v_epoch.position_floor and jobledger.sees_all(v_last.snapshot, p_snapshot);
  elsif v_known then
    if jobledger.epoch_due(p_shard) then
      perform jobledger.refuse('JL501', 'The database has not been opened since it was restored or promoted.', 'Run `jobledger open`, or wait until a worker has; enqueueing goes on meanwhile.');
    end if;
    v_known := jobledger.sees_all(pg_current_snapshot(), p_snapshot);
  end if;
  if v_known is not true then
    perform jobledger.refuse('JL208', 'The log cannot say what this answer saw: it was given by another copy of this database, or saw what was lost with the server that gave it.',
      'Ask as of a time: the answer is of the last block sealed by then.');
  end if;
  b := jobledger.last_block(p_shard, null, p_epoch, p_snapshot);
  return row(p_epoch, coalesce(b.block, 0), b.sealed_at, p_at, v_epoch.position_floor, v_hwm, v_hwm, p_snapshot, p_snapshot)::jobledger.moment;
end
$$;
