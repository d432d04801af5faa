-- Put one folded job into the table of its state. `on conflict do nothing`: a row that is there already was put by who holds the job's lock.
-- A ready job whose time has not come by the clock of its own last event is scheduled; only `tick` looks at the clock of now.
create or replace function jobledger.place(s jobledger.folded) returns void
language plpgsql
as $$
begin
  if s.state = 'ready' and s.run_at <= s.at then
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    values (s.id, s.run_at, s.kill_at, s.head, s.timeout, s.shard, s.priority, s.attempt, s.max_attempts, s.releases, s.tenant, s.queue, s.kind, s.owner, s.unique_key)
    on conflict do nothing;
  elsif s.state in ('ready', 'parked') then
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
      state, reason, wake_at)
    values (s.id, s.run_at, s.kill_at, s.head, s.timeout, s.shard, s.priority, s.attempt, s.max_attempts, s.releases, s.tenant, s.queue, s.kind, s.owner, s.unique_key,
      case s.state when 'ready' then 'scheduled' else s.state end, s.reason, case s.state when 'ready' then s.run_at end)
    on conflict do nothing;
  elsif s.state = 'running' then
    insert into jobledger.running (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
      worker, claimed_at, timeout_at, claim, call, cancel_requested)
    values (s.id, s.run_at, s.kill_at, s.head, s.timeout, s.shard, s.priority, s.attempt, s.max_attempts, s.releases, s.tenant, s.queue, s.kind, s.owner, s.unique_key,
      s.worker, s.claimed_at, s.timeout_at, s.claim, s.call, s.cancel_requested)
    on conflict do nothing;
  elsif s.state is not null then
    insert into jobledger.finished (id, finished_at, head, state, shard, priority, attempt, max_attempts, tenant, queue, kind, owner)
    values (s.id, s.at, s.head, s.state, s.shard, s.priority, s.attempt, s.max_attempts, s.tenant, s.queue, s.kind, s.owner)
    on conflict do nothing;
  end if;
end
$$;
