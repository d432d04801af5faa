-- Begin a new epoch if one is due (see epoch_due): carry over what is unsealed, and put the floor under everything there is, so that old transaction ids never match again.
-- One transaction that holds the log in SHARE mode: who appends now ends first, or waits (55P03: try again). A transaction that is prepared would append below
-- the floor when it commits, so it is named, never skipped. The sequence is set to at least the highest position: a dump of the schema leaves it behind, and replicated
-- blocks use it up, so that nobody draws a position there before.
-- True: it began one; a caller bound to tenants is not told.
drop function if exists jobledger.open_epoch;

create function jobledger.open_epoch(p_shard smallint default 0) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '200ms'
as $$
declare
  v_now timestamptz := jobledger.now();
  v_gids text[];
  v_top bigint;
  v_epoch int;
  v_carried bigint;
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.epoch_due(p_shard) then
    return false;
  end if;
  perform pg_advisory_xact_lock(hashtext('jobledger.seal'), p_shard::int);
  select array_agg(p.gid order by p.gid) into v_gids from pg_prepared_xacts as p
  where p.database = current_database() and exists (select from pg_locks as t join pg_locks as l on l.virtualtransaction = t.virtualtransaction and l.pid is null
    where t.locktype = 'transactionid' and t.transactionid = p.transaction and t.pid is null and l.relation = 'jobledger.events'::regclass);
  if v_gids is not null then
    perform jobledger.refuse('JL508', format('%s prepared transactions that appended to the log stand in the way of a new epoch.', cardinality(v_gids)),
      'Commit or roll back each of them, then open again.', case when jobledger.every_tenant() then jsonb_build_object('prepared', v_gids) end);
  end if;
  lock table jobledger.events in share mode;
  if not jobledger.epoch_due(p_shard) then
    return false;
  end if;
  perform jobledger.blocks_ensure(p_shard);
  v_epoch := coalesce((select max(e.epoch) from jobledger.epochs as e where e.shard = p_shard), 0) + 1;
  select coalesce(max(e.position), 0) into v_top from jobledger.events as e;
  perform setval('jobledger.position', greatest(v_top, 1), v_top > 0) from jobledger.position as s where s.last_value not between v_top and 9223372036854775806 or not s.is_called;
  v_carried := jobledger.carry_over(p_shard, v_epoch, v_now);
  insert into jobledger.epochs (epoch, position_floor, system_identifier, opened_at, shard, timeline, since)
  select v_epoch, v_top, c.system_identifier, v_now, p_shard, left(pg_walfile_name(pg_current_wal_lsn()), 8),
    format('%s:%s:', s.xmin, s.xmin)::pg_snapshot from pg_control_system() as c, pg_snapshot_xmin(pg_current_snapshot()) as s (xmin);
  perform jobledger.append_control(p_shard, '_global', 'store', 'epoch', 'store.epoch_opened', v_now, null, jsonb_build_object('epoch', v_epoch, 'carried', v_carried));
  return jobledger.every_tenant();
end
$$;
