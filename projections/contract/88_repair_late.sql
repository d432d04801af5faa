-- Repair the jobs of the late transactions that have ended since: one a call, so that a tick stays short. A transaction too old to be known has ended.
-- Its events are found by the index on `xid`. Where a row is locked it is left to a later call, behind the others: a lock may last.
-- All is left to a caller of READ COMMITTED, which repair needs: the rest of another's tick is not to fail for it. A transaction that this server has not given yet was
-- noted in another (a dump carries the table along), and has ended there: asked for its state the server raises.
create or replace function jobledger.repair_late(p_shard smallint) returns int
language plpgsql set enable_seqscan = off
as $$
declare
  v_xid xid8;
  v_jobs uuid[];
  v_repaired int := 0;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  select l.xid into v_xid from jobledger.late as l
  where l.shard = p_shard and case when l.xid < pg_snapshot_xmax(pg_current_snapshot()) then pg_xact_status(l.xid) <> 'in progress' end is not false order by l.noted_at, l.xid limit 1 for update skip locked;
  if not found then
    return 0;
  end if;
  select array_agg(distinct e.stream_id) into v_jobs from jobledger.events as e where e.shard = p_shard and e.xid = v_xid and e.type <= 'job.redacted';
  if v_jobs is not null then
    select count(*) into v_repaired from jobledger.repair(p_shard, v_jobs);
  end if;
  delete from jobledger.late as l where l.shard = p_shard and l.xid = v_xid;
  return v_repaired;
exception when lock_not_available then
  update jobledger.late as l set noted_at = clock_timestamp() where l.shard = p_shard and l.xid = v_xid;
  return 0;
end
$$;
