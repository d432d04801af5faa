-- What a live answer saw, for a token with which it can be asked again: called in the statement that answers, so with its very snapshot. No row where there is none to give: to a role
-- that is bound to tenants (a snapshot tells how much everybody does), in a transaction that has written (its own events are seen before they are committed), while the database is
-- not open, and on a standby, whose snapshots do not list what was under way.
-- The snapshot is cut behind the last transaction whose events it sees. Race: those after it have rolled back or are idle, and may leave nothing in the WAL: a crash would give their ids again,
-- to others. With the last event (`position`, 0 for none since the last block) `moment_of_token` finds out whether it is still there.
drop function if exists jobledger.seen;

create function jobledger.seen(p_shard smallint default 0) returns table (epoch int, mark bigint, block bigint, "position" bigint, snapshot text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now pg_snapshot := pg_current_snapshot();
  v_epoch jobledger.epochs;
  v_last jobledger.blocks;
  v_event jobledger.events;
  v_sealed xid8;
  v_end xid8;
begin
  perform jobledger.check_words(p_shard, null, null);
  if pg_is_in_recovery() or not jobledger.every_tenant() or pg_current_xact_id_if_assigned() is not null or not jobledger.is_open(p_shard) then
    return;
  end if;
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  v_sealed := pg_snapshot_xmax(case when v_last.epoch = v_epoch.epoch and v_last.first_position > v_epoch.position_floor then v_last.snapshot else v_epoch.since end);
  select e.* into v_event from jobledger.events as e
  where e.xid >= v_sealed and e.xid < pg_snapshot_xmax(v_now) and e.position > v_epoch.position_floor and e.shard = p_shard order by e.xid desc, e.position desc limit 1;
  v_end := coalesce((v_event.xid::text::bigint + 1)::text::xid8, v_sealed);
  return query select v_epoch.epoch, jobledger.mark(v_epoch, v_event, v_last), coalesce(v_last.block, 0), coalesce(v_event.position, 0),
    format('%s:%s:%s', least(pg_snapshot_xmin(v_now), v_end), v_end, (select string_agg(x::text, ',' order by x) from pg_snapshot_xip(v_now) as x where x < v_end));
end
$$;
