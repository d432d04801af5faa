-- Open the database: rebuild the live tables from the log if `live` does not name this very server, and say so. The one recovery; harmless when already open.
-- READ COMMITTED and no table lock: long user transactions neither wait nor are waited for. What an enqueue commits meanwhile put its own row, and wins.
-- Transactions that are prepared now are noted in `late`: what they append appears only when they commit, and is repaired then.
-- A tick that began before the database was closed may be moving rows from table to table (a move of place is no event, the fold does not know of it): it is waited
-- for, else a row that it puts into `ready` after that table was emptied lies there beside the one that the fold puts into `waiting`.
-- A caller bound to tenants is not told how many rows there were. Two openers meet at an advisory lock, and the second finds it done.
drop function if exists jobledger.open;

create function jobledger.open(p_shard smallint default 0) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set jit = off
as $$
declare
  v_rows bigint;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform pg_advisory_xact_lock(hashtext('jobledger.open'), p_shard::int);
  if jobledger.is_open(p_shard) then
    return jsonb_build_object('opened', false, 'rows', 0);
  end if;
  perform pg_advisory_xact_lock(hashtext('jobledger.tick'), p_shard::int);
  perform jobledger.partitions_ensure(p_shard);
  perform jobledger.note_prepared(p_shard);
  delete from jobledger.running as r where r.shard = p_shard;
  delete from jobledger.ready as r where r.shard = p_shard;
  delete from jobledger.waiting as w where w.shard = p_shard;
  select count(jobledger.place(f)) into v_rows from jobledger.fold_open(p_shard) as f;
  perform jobledger.say_open(p_shard);
  if v_rows > 0 then
    perform jobledger.append_control(p_shard, '_global', 'store', 'rebuild', 'store.rebuilt', jobledger.now(), null, jsonb_build_object('projection', 'queue', 'rows', v_rows));
  end if;
  return jsonb_build_object('opened', true, 'rows', case when jobledger.every_tenant() then v_rows else 0 end);
end
$$;
