-- What a live answer saw, for a token with which it can be asked again: called in the statement that answers, so with its very snapshot. No row where there is none to give: to a role
-- that is bound to tenants (a snapshot tells how much everybody does), in a transaction that has written (its own events are seen before they are committed), while the database is
-- not open, and on a standby, whose snapshots do not list what was under way.
drop function if exists jobledger.seen;

create function jobledger.seen(p_shard smallint default 0) returns table (epoch int, mark bigint, block bigint, snapshot text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_epoch jobledger.epochs;
  v_last jobledger.blocks;
begin
  perform jobledger.check_words(p_shard, null, null);
  if pg_is_in_recovery() or not jobledger.every_tenant() or pg_current_xact_id_if_assigned() is not null or not jobledger.is_open(p_shard) then
    return;
  end if;
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  return query select v_epoch.epoch, jobledger.mark(v_epoch, v_last), coalesce(v_last.block, 0), pg_current_snapshot()::text;
end
$$;
