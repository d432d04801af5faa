-- Is there something to seal? What was committed by transactions that began after the last block (and what the caller appends), or by those that it saw in progress, whose
-- positions may lie below others that were sealed before; or the rest of a large difference. Positions that were drawn for nothing so far, by a transaction that goes on or was
-- rolled back, are nothing to seal: told of them, a sealer would look in vain with every tick.
-- `since` is what seal() starts from: as there, so that both mean the same after a restore.
-- Plans: the log is looked into only where a position was drawn since, or such a transaction has ended; by the index on `xid`, which the upper bound (none is as large) and the
-- shard that no index has let the planner believe in, whatever it knows of the table. The caller has switched sequential scans off.
create or replace function jobledger.unsealed(p_shard smallint) returns boolean
language plpgsql stable
as $$
declare
  v_last jobledger.blocks;
  v_epoch jobledger.epochs;
  v_since pg_snapshot;
  v_from xid8;
  v_to xid8 := '18446744073709551615';
  v_late xid8[];
begin
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  if v_last.part < v_last.parts then
    return true;
  end if;
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
  v_since := case when v_last.epoch = v_epoch.epoch and v_last.first_position > v_epoch.position_floor then v_last.snapshot else v_epoch.since end;
  if (select p.is_called and p.last_value > coalesce(v_last.position_hwm, 0) from jobledger.position as p) then
    v_from := pg_snapshot_xmax(v_since);
    if exists (select from jobledger.events as e where e.xid >= v_from and e.xid < v_to and e.shard + 0 = p_shard and e.position > v_epoch.position_floor) then
      return true;
    end if;
  end if;
  v_late := array(select x from pg_snapshot_xip(v_since) as x where pg_visible_in_snapshot(x, pg_current_snapshot()));
  return cardinality(v_late) > 0 and exists (select from jobledger.events as e where e.xid = any (v_late) and e.shard + 0 = p_shard and e.position > v_epoch.position_floor);
end
$$;
