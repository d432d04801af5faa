-- Copy the live tables into the queue snapshot: one statement, so one snapshot, and the very one that is noted. False: they are not open, or somebody else is at it.
-- Emptied and filled in one transaction: until it is committed the old copy stands, and a crash in the middle leaves it. TRUNCATE waits for a dump under way: not longer
-- than its lock_timeout. Races: a row that a prepared transaction has deleted is copied, one that it has inserted is not; its id is not in the snapshot, so its streams are the
-- tail once it commits. A closing that comes meanwhile waits, and takes the new copy away;
-- one that came before leaves nothing to copy, and the old copy stays or goes as it left it.
create or replace function jobledger.copy_queue(p_shard smallint) returns boolean
language plpgsql set lock_timeout = '100ms'
as $$
begin
  if not pg_try_advisory_xact_lock(hashtext('jobledger.snapshot'), p_shard::int) then
    return false;
  end if;
  truncate jobledger.queue_snapshot_rows;
  delete from jobledger.queue_snapshots;
  with copied as (
    insert into jobledger.queue_snapshot_rows (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
      worker, claimed_at, timeout_at, claim, call, cancel_requested, state, reason, wake_at)
    select r.id, r.run_at, r.kill_at, r.head, r.timeout, r.shard, r.priority, r.attempt, r.max_attempts, r.releases, r.tenant, r.queue, r.kind, r.owner, r.unique_key,
      null::uuid, null::timestamptz, null::timestamptz, null::int, null::int, null::boolean, null::jobledger.job_state, null, null
    from jobledger.ready as r where r.shard = p_shard
    union all
    select w.id, w.run_at, w.kill_at, w.head, w.timeout, w.shard, w.priority, w.attempt, w.max_attempts, w.releases, w.tenant, w.queue, w.kind, w.owner, w.unique_key,
      null, null, null, null, null, null, w.state, w.reason, w.wake_at
    from jobledger.waiting as w where w.shard = p_shard
    union all
    select r.id, r.run_at, r.kill_at, r.head, r.timeout, r.shard, r.priority, r.attempt, r.max_attempts, r.releases, r.tenant, r.queue, r.kind, r.owner, r.unique_key,
      r.worker, r.claimed_at, r.timeout_at, r.claim, r.call, r.cancel_requested, 'running', null, null
    from jobledger.running as r where r.shard = p_shard
    returning 1
  )
  insert into jobledger.queue_snapshots (shard, snapshot, xid, taken_at, position, rows, system_identifier, database)
  select p_shard, pg_current_snapshot(), pg_current_xact_id(), jobledger.now(), p.last_value, (select count(*) from copied), l.system_identifier, d.oid
  from jobledger.live as l, jobledger.position as p, pg_database as d
  where l.shard = p_shard and jobledger.is_open(p_shard) and d.datname = current_database();
  if not found then
    raise lock_not_available using message = 'The live tables were closed meanwhile.';
  end if;
  return true;
exception when lock_not_available then
  return false;
end
$$;
