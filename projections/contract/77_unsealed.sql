-- Is there something to seal, or will there be when its transaction ends? Either a position was drawn beyond what is sealed (that transaction may also be rolled back), or one that
-- the last block's snapshot saw in progress has committed meanwhile: its positions may lie below those of others, which were sealed before.
-- Plans: the log is looked into only where such a transaction has ended, be it anybody's; by the index on `xid`.
create or replace function jobledger.unsealed(p_shard smallint) returns boolean
language plpgsql stable
as $$
declare
  v_hwm bigint;
  v_late xid8[];
begin
  select b.position_hwm, array(select x from pg_snapshot_xip(b.snapshot) as x where pg_visible_in_snapshot(x, pg_current_snapshot())) into v_hwm, v_late
  from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  if (select p.is_called and p.last_value > coalesce(v_hwm, 0) from jobledger.position as p) then
    return true;
  end if;
  if cardinality(v_late) > 0 then
    return exists (select from jobledger.events as e where e.xid = any (v_late));
  end if;
  return false;
end
$$;
