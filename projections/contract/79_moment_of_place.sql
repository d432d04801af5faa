-- The moment at which the log reached just to a place of it (a cursor's): its block's transactions before, and of its own events those up to the position. Named by the clock of the
-- block. Block 0 is the beginning: nothing. A cursor up to the horizon has the number of drops above its epoch (told_epoch). Only for who sees every tenant.
drop function if exists jobledger.moment_of_place;

create function jobledger.moment_of_place(p_shard smallint, p_epoch int, p_block bigint, p_position bigint) returns jobledger.moment
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  b jobledger.blocks;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_epoch is null or p_block is null or p_position is null or least(p_epoch, p_block, p_position) < 0 then
    perform jobledger.refuse('JL101', 'A place in the log is epoch, block and position, none below 0.', 'Mend the call.');
  end if;
  perform jobledger.must_see_order();
  if p_block = 0 then
    return (select row(0, 0, null, e.opened_at, 0, 0, 0, '1:1:', '1:1:')::jobledger.moment from jobledger.epochs as e where e.shard = p_shard order by e.epoch limit 1);
  end if;
  select * into b from jobledger.blocks as x where x.shard = p_shard and x.block = p_block and x.epoch + 0 = p_epoch & 1048575;
  if not found or (p_position < b.last_position and b.merged_from is not null) then
    perform jobledger.refuse('JL208', 'The log has no such place: its block was merged behind the horizon, or lost with the server that had it.',
      'Ask as of a time: the answer is of the last block sealed by then.');
  end if;
  return jobledger.moment_in(b, p_position, b.sealed_at);
end
$$;
