-- Lock the live row of a job, delete it, and return it folded; all null when no live row is there, or with `p_skip` when another transaction holds it.
-- The lock order of everything: running, ready, waiting, finished, idempotency, unique keys, workers last.
create or replace function jobledger.taken(p_shard smallint, p_id uuid, p_skip boolean default true) returns jobledger.folded
language plpgsql
as $$
declare
  s jobledger.folded;
  r jobledger.running;
  q jobledger.ready;
  w jobledger.waiting;
begin
  if p_skip then
    select * into r from jobledger.running as t where t.shard = p_shard and t.id = p_id for update skip locked;
  else
    select * into r from jobledger.running as t where t.shard = p_shard and t.id = p_id for update;
  end if;
  if found then
    delete from jobledger.running as t where t.shard = p_shard and t.id = p_id;
    s := row(r.id, r.run_at, r.kill_at, r.head, r.timeout, r.shard, r.priority, r.attempt, r.max_attempts, r.releases, r.tenant, r.queue, r.kind, r.owner, r.unique_key,
      r.worker, r.claimed_at, r.timeout_at, r.claim, r.call, r.cancel_requested, 'running', null, r.claimed_at);
    return s;
  end if;
  if p_skip then
    select * into q from jobledger.ready as t where t.shard = p_shard and t.id = p_id for update skip locked;
  else
    select * into q from jobledger.ready as t where t.shard = p_shard and t.id = p_id for update;
  end if;
  if found then
    delete from jobledger.ready as t where t.shard = p_shard and t.id = p_id;
    s := row(q.id, q.run_at, q.kill_at, q.head, q.timeout, q.shard, q.priority, q.attempt, q.max_attempts, q.releases, q.tenant, q.queue, q.kind, q.owner, q.unique_key,
      null, null, null, null, null, false, 'ready', null, null);
    return s;
  end if;
  if p_skip then
    select * into w from jobledger.waiting as t where t.shard = p_shard and t.id = p_id for update skip locked;
  else
    select * into w from jobledger.waiting as t where t.shard = p_shard and t.id = p_id for update;
  end if;
  if found then
    delete from jobledger.waiting as t where t.shard = p_shard and t.id = p_id;
    s := row(w.id, w.run_at, w.kill_at, w.head, w.timeout, w.shard, w.priority, w.attempt, w.max_attempts, w.releases, w.tenant, w.queue, w.kind, w.owner, w.unique_key,
      null, null, null, null, null, false, case w.state when 'scheduled' then 'ready' else w.state end, w.reason, null);
    return s;
  end if;
  return null;
end
$$;
