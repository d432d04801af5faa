-- The moment of a time: what was sealed by then, to the last block at or before it, named by the clock of that time. Asked again it is the same.
-- Race: a sealer that has read the clock and not committed yet would put one more block before a time that is later than the last block. It is waited for: seals run under a lock, which
-- is taken in shared mode and given back at once, by the end of the block with the exception, whatever happens. Volatile: what it committed is seen by the second look.
-- A time before the first block is refused: what was then was never put in order. So is one within blocks that were merged behind the horizon: which of their events had been sealed by then,
-- only those blocks could tell, and without them the answer would be another than before. `p_reading`: for who reads up to there, or on from there: to both it is the place before
-- them, so each event is still read once. Only for who sees every tenant.
drop function if exists jobledger.moment_of_time;

create function jobledger.moment_of_time(p_shard smallint, p_at timestamptz, p_reading boolean default false) returns jobledger.moment
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set lock_timeout = '2s'
as $$
declare
  b jobledger.blocks;
  v_first timestamptz;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.must_see_order();
  if p_at is null or not isfinite(p_at) or p_at > jobledger.now() then
    perform jobledger.refuse('JL101', 'A moment of the past is a time up to now.', 'Ask without it for what is now.');
  end if;
  if not exists (select from (select x.sealed_at from jobledger.blocks as x where x.shard = p_shard order by x.block desc limit 1) as x where x.sealed_at > p_at) then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform jobledger.refuse('JL208', 'This transaction''s snapshot is older than the moment, or may be.', 'Ask in a READ COMMITTED transaction.');
    end if;
    begin
      perform pg_advisory_xact_lock_shared(hashtext('jobledger.seal'), p_shard::int);
      raise exception using errcode = 'JL000';
    exception when sqlstate 'JL000' then
      null;
    end;
  end if;
  b := jobledger.last_block(p_shard, p_at);
  if b.block is null then
    select x.sealed_at into v_first from jobledger.blocks as x where x.shard = p_shard order by x.block limit 1;
    perform jobledger.refuse('JL208', 'The order of the log does not reach back to this time' || coalesce(': it begins at ' || to_char(v_first, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '') || '.',
      'Ask as of a later time, or read the job''s history.');
  end if;
  -- At the very time that a block was sealed it is the answer, whatever came next.
  if b.sealed_at < p_at and p_reading is not true
      and (select x.merged_from from jobledger.blocks as x where x.shard = p_shard and x.block > b.block order by x.block limit 1) is not null then
    perform jobledger.refuse('JL208', 'The log cannot tell this time from others any more: the blocks of then were merged behind the horizon.', 'Ask as of a later time, or read the job''s history.');
  end if;
  return jobledger.moment_in(b, b.last_position, p_at);
end
$$;
