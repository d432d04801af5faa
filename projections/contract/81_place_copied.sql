-- Put the copied live rows back where they lay, but for these jobs (their streams say more); returns how many there were.
-- The ids are compared by a hash of a constant array, which needs a plan of its own for each call and nothing of the planner's guesses.
create or replace function jobledger.place_copied(p_shard smallint, p_but uuid[]) returns bigint
language plpgsql set plan_cache_mode = force_custom_plan
as $$
declare
  v_ready bigint;
  v_waiting bigint;
  v_running bigint;
begin
  insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
  select c.id, c.run_at, c.kill_at, c.head, c.timeout, c.shard, c.priority, c.attempt, c.max_attempts, c.releases, c.tenant, c.queue, c.kind, c.owner, c.unique_key
  from jobledger.queue_snapshot_rows as c where c.shard = p_shard and c.state is null and c.id <> all (p_but)
  on conflict do nothing;
  get diagnostics v_ready = row_count;
  insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, reason, wake_at)
  select c.id, c.run_at, c.kill_at, c.head, c.timeout, c.shard, c.priority, c.attempt, c.max_attempts, c.releases, c.tenant, c.queue, c.kind, c.owner, c.unique_key, c.state, c.reason, c.wake_at
  from jobledger.queue_snapshot_rows as c where c.shard = p_shard and c.state <> 'running' and c.id <> all (p_but)
  on conflict do nothing;
  get diagnostics v_waiting = row_count;
  insert into jobledger.running (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
    worker, claimed_at, timeout_at, claim, call, cancel_requested)
  select c.id, c.run_at, c.kill_at, c.head, c.timeout, c.shard, c.priority, c.attempt, c.max_attempts, c.releases, c.tenant, c.queue, c.kind, c.owner, c.unique_key,
    c.worker, c.claimed_at, c.timeout_at, c.claim, c.call, c.cancel_requested
  from jobledger.queue_snapshot_rows as c where c.shard = p_shard and c.state = 'running' and c.id <> all (p_but)
  on conflict do nothing;
  get diagnostics v_running = row_count;
  return v_ready + v_waiting + v_running;
end
$$;
