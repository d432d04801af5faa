-- Merge blocks before the horizon, of which retention left few events: looks at `p_most` rows at most after block `p_after`, and makes one block of each run that can be one. Answers
-- where the next call goes on (null: at the horizon), and how many rows went. One transaction a call; a reader sees the old rows or the merged one.
-- A batch that a projection is folding is waited for: see projection_take.
-- The order of the log stays as it is, also for a reader that stands in the middle: a run takes in the next block only where positions go on rising, those of the events that are left
-- and those at which a page may have ended. A merged block is as self-contained as any: what its last snapshot sees and its first `since` did not, from the first position to the last.
drop function if exists jobledger.merge_blocks;

create function jobledger.merge_blocks(p_shard smallint, p_after bigint, p_most int, out next bigint, out gone int)
language plpgsql
as $$
declare
  b record;
  m record;
  v_from bigint;
  v_upto bigint;
  v_top bigint;
  v_rows int := 0;
  v_count int := 0;
  v_least bigint;
  v_least_xid xid8;
  v_most_xid xid8;
begin
  gone := 0;
  perform pg_advisory_xact_lock(hashtext('jobledger.merge'), p_shard::int);
  perform pg_advisory_xact_lock(hashtext('jobledger.fold'), p_shard::int);
  select * into m from jobledger.mergeable(p_shard, p_after, p_most);
  next := m.upto;
  if m.rows < 2 then
    return;
  end if;
  for b in select x.* from jobledger.blocks_left(p_shard, p_after, m.upto, m.floor) as x loop
    if v_rows > 0 and (b.last_position < v_top or b.lowest <= v_top) then
      if v_rows > 1 or v_count = 0 then
        gone := gone + jobledger.merge_run(p_shard, v_from, v_upto, v_count, v_least, v_least_xid, v_most_xid);
      end if;
      v_rows := 0;
    end if;
    if v_rows = 0 then
      v_from := b.block;
      v_count := 0;
      v_least := null;
      v_least_xid := null;
      v_most_xid := null;
    end if;
    v_rows := v_rows + 1;
    v_upto := b.block;
    v_top := b.last_position;
    v_count := v_count + b.count;
    v_least := least(v_least, b.lowest);
    v_least_xid := least(v_least_xid, b.lowest_xid);
    v_most_xid := greatest(v_most_xid, b.highest_xid);
  end loop;
  if v_rows > 1 or v_count = 0 then
    gone := gone + jobledger.merge_run(p_shard, v_from, v_upto, v_count, v_least, v_least_xid, v_most_xid);
    -- The next call may go on with this run.
    if v_rows > 1 and v_count between 1 and 1000 then
      next := v_upto - 1;
    end if;
  end if;
end
$$;
