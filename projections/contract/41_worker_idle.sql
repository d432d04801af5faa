-- A worker says that it waits for jobs, or that it no longer does (another role's worker is unknown, see worker_is_mine). Returns whether its flag stands.
-- The worker commits the flag, then polls once more: a job whose enqueuer looked before the commit is found by that poll, unless it was committed later still.
-- A role bound to tenants may not listen (see channel), so its workers raise none.
-- While a snapshot held open elsewhere keeps the dead rows of many changes (64 KiB), no flag is raised: every enqueue would read them. Polling goes on.
drop function if exists jobledger.worker_idle;

create function jobledger.worker_idle(p_shard smallint, p_worker uuid, p_idle boolean) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_idle is null then
    perform jobledger.refuse('JL101', 'Say whether the worker waits for jobs.', 'Mend the call.');
  end if;
  if not jobledger.worker_is_mine(p_shard, p_worker) or not exists (select from jobledger.workers as w where w.shard = p_shard and w.id = p_worker) then
    perform jobledger.refuse('JL504', 'No worker of this id is registered.', 'Start it with jobledger.worker_start().');
  end if;
  if not p_idle then
    delete from jobledger.idle as i where i.shard = p_shard and i.worker = p_worker;
    return false;
  end if;
  if not jobledger.every_tenant() then
    return false;
  end if;
  delete from jobledger.idle as i where i.ctid = any (array(select x.ctid from jobledger.idle as x where x.shard = p_shard
    and not exists (select from jobledger.workers as w where w.shard = p_shard and w.id = x.worker and w.stopped_at is null and w.lease_until > v_now) for update skip locked));
  if pg_relation_size('jobledger.idle') > 65536 then
    return exists (select from jobledger.idle as i where i.shard = p_shard and i.worker = p_worker);
  end if;
  insert into jobledger.idle (worker, since, shard)
  select w.id, v_now, w.shard from jobledger.workers as w where w.shard = p_shard and w.id = p_worker and w.stopped_at is null and w.lease_until > v_now
  on conflict do nothing;
  return exists (select from jobledger.idle as i where i.shard = p_shard and i.worker = p_worker);
end
$$;
