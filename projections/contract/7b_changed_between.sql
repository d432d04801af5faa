-- Which jobs of a tenant (null: of all) had events that a moment takes in and the blocks up to p_after do not: the versions of the first and the last of them.
-- Those of blocks are found as folds find them. A moment that stands for a live answer (its `since` is its `snapshot`) sees more than its last block, which was sealed before it: the
-- events of transactions that the block's snapshot did not see, by the index on `xid`, whatever the planner believes; in a new epoch, those that began after it.
create or replace function jobledger.changed_between(p_shard smallint, p_tenant text, p_after bigint, m jobledger.moment) returns table (tenant text, id uuid, first int, last int)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set work_mem = '64MB' set plan_cache_mode = force_generic_plan
as $$
declare
  b jobledger.blocks;
  v_since pg_snapshot;
  v_from xid8;
  v_to xid8;
  v_late xid8[];
begin
  if m.since::text <> m.snapshot::text or m.hwm = 0 then
    return query
    select s.tenant, s.stream_id, min(s.version), max(s.version) from jobledger.sealed_between(p_shard, p_after, m.block) as s
    where s.type <= 'job.moved' and (p_tenant is null or s.tenant = p_tenant) and (s.block < m.block or s.position <= m.position)
    group by s.tenant, s.stream_id;
    return;
  end if;
  select * into b from jobledger.blocks as x where x.shard = p_shard and x.block = m.block and x.epoch + 0 = m.epoch and x.first_position > m.floor;
  v_since := coalesce(b.since, (select e.since from jobledger.epochs as e where e.shard = p_shard and e.epoch = m.epoch));
  v_from := pg_snapshot_xmax(v_since);
  v_to := pg_snapshot_xmax(m.snapshot);
  v_late := array(select x from pg_snapshot_xip(v_since) as x where pg_visible_in_snapshot(x, m.snapshot));
  return query
  select d.tenant, d.stream_id, min(d.version), max(d.version) from (
    select s.tenant, s.stream_id, s.version from jobledger.sealed_between(p_shard, p_after, m.block) as s where s.type <= 'job.moved' and (p_tenant is null or s.tenant = p_tenant)
    union all
    select x.tenant, x.stream_id, x.version from (
      select e.* from jobledger.events as e where e.xid >= v_from and e.xid < v_to and e.shard + 0 = p_shard and pg_visible_in_snapshot(e.xid, m.snapshot)
      union all
      select e.* from jobledger.events as e where e.xid = any (v_late) and e.shard + 0 = p_shard
    ) as x
    where x.position > m.floor and x.position <= m.hwm and x.type <= 'job.moved' and (p_tenant is null or x.tenant = p_tenant)
      and (b.block is null or not (pg_visible_in_snapshot(x.xid, b.since) or x.position <= b.last_position and pg_visible_in_snapshot(x.xid, b.snapshot)))
  ) as d group by d.tenant, d.stream_id;
end
$$;
