-- Open the database: rebuild the live tables from the log if `live` does not name this very server, and say so. The one recovery; harmless when already open.
-- READ COMMITTED and no table lock: long user transactions neither wait nor are waited for. What an enqueue commits meanwhile put its own row, and wins.
-- Transactions that are prepared now are noted in `late`: what they append appears only when they commit, and is repaired then.
-- A tick that began before the database was closed may be moving rows from table to table (a move of place is no event, the fold does not know of it): it is waited
-- for, else a row that it puts into `ready` after that table was emptied lies there beside the one that the fold puts into `waiting`.
-- Where a queue snapshot is usable, its rows are put back, and only the streams with an event since are folded; else all that have not finished. What commits between these
-- steps is an enqueue, which put its own row, or was prepared and is noted.
-- A new epoch comes first, where one is due: it holds the log until the end of its transaction, so who can calls open_epoch() alone before.
-- A caller bound to tenants is not told how many rows there were. Two openers meet at an advisory lock, and the second finds it done.
drop function if exists jobledger.open;

create function jobledger.open(p_shard smallint default 0) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set jit = off
as $$
declare
  v_rows bigint;
  v_copied bigint := 0;
  v_from jobledger.queue_snapshots;
  v_tail uuid[];
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.open_epoch(p_shard);
  perform pg_advisory_xact_lock(hashtext('jobledger.open'), p_shard::int);
  if jobledger.is_open(p_shard) then
    return jsonb_build_object('opened', false, 'rows', 0, 'copied', 0);
  end if;
  perform pg_advisory_xact_lock(hashtext('jobledger.tick'), p_shard::int);
  perform jobledger.partitions_ensure(p_shard);
  perform jobledger.note_prepared(p_shard);
  delete from jobledger.running as r where r.shard = p_shard;
  delete from jobledger.ready as r where r.shard = p_shard;
  delete from jobledger.waiting as w where w.shard = p_shard;
  select * into v_from from jobledger.usable_snapshot(p_shard);
  if found then
    v_tail := jobledger.tail_streams(p_shard, v_from.snapshot, v_from.xid);
    v_copied := jobledger.place_copied(p_shard, v_tail);
    v_rows := v_copied + jobledger.place_streams(p_shard, jobledger.unfinished(p_shard, v_tail));
  else
    delete from jobledger.queue_snapshots as q where q.shard = p_shard;
    v_rows := jobledger.place_streams(p_shard, jobledger.open_streams(p_shard));
  end if;
  perform jobledger.say_open(p_shard);
  if v_rows > 0 then
    perform jobledger.append_control(p_shard, '_global', 'store', 'rebuild', 'store.rebuilt', jobledger.now(), null, jsonb_build_object('projection', 'queue', 'rows', v_rows));
  end if;
  return jsonb_build_object('opened', true, 'rows', case when jobledger.every_tenant() then v_rows else 0 end, 'copied', case when jobledger.every_tenant() then v_copied else 0 end);
end
$$;
