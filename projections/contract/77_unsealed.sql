-- Is there something to seal? What was committed by transactions that began after the last block, or by those that it saw in progress, whose positions may lie below others
-- that were sealed before; what the caller itself appends; or the rest of a large difference. Positions that were drawn for nothing so far, by a transaction that goes on or was
-- rolled back, are nothing to seal: told of them, a sealer would look in vain with every tick.
-- The range of transaction ids is that of seal() and difference(), so that all mean the same after a restore: the ids of old events may be above all that were given here.
-- Race: who has drawn a position but has no transaction id yet may commit below a block that has sealed a later position. The log is not looked into then: the next position to
-- be drawn, or the sealer's own look after five seconds, finds it.
-- Plans: the log is looked into only where a position was drawn since, or such a transaction has ended; by the index on `xid`, as in difference().
create or replace function jobledger.unsealed(p_shard smallint) returns boolean
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_last jobledger.blocks;
  v_epoch jobledger.epochs;
  v_since pg_snapshot;
  v_from xid8;
  v_to xid8;
  v_late xid8[];
begin
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  if v_last.part < v_last.parts then
    return true;
  end if;
  select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
  v_since := case when v_last.epoch = v_epoch.epoch and v_last.first_position > v_epoch.position_floor then v_last.snapshot else v_epoch.since end;
  v_late := array(select x from pg_snapshot_xip(v_since) as x where pg_visible_in_snapshot(x, pg_current_snapshot()));
  if (select p.is_called and p.last_value > coalesce(v_last.position_hwm, 0) from jobledger.position as p) then
    v_from := pg_snapshot_xmax(v_since);
    v_to := pg_snapshot_xmax(pg_current_snapshot());
    if exists (select from jobledger.events as e where e.xid >= v_from and e.xid < v_to and e.shard + 0 = p_shard and e.position > v_epoch.position_floor) then
      return true;
    end if;
    -- The caller's own id may be above all that its snapshot knows of.
    v_late := v_late || (select array_agg(o) from pg_current_xact_id_if_assigned() as o where o is not null);
  end if;
  return cardinality(v_late) > 0 and exists (select from jobledger.events as e where e.xid = any (v_late) and e.shard + 0 = p_shard and e.position > v_epoch.position_floor);
end
$$;
