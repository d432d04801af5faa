-- A tenant's newest jobs below an id, whatever their state, at most so many: as the tables have them now. Each table, and each state where the index has it first, is read by itself in the
-- order of its index, and they are merged. Rows are compared as the index has them, which keeps a table without statistics from being read by its primary key.
create or replace function jobledger.newest_of_tenant(p_shard smallint, p_tenant text, p_below uuid, p_most int) returns setof jobledger.jobs
language sql stable
as $$
  select j.shard, j.id, j.tenant, j.queue, j.kind, j.state, j.priority, j.attempt, j.max_attempts, j.owner, j.head, j.run_at, j.kill_at, j.worker, j.claim, j.claimed_at, j.finished_at, j.reason,
    jobledger.time_of(j.id)
  from (
    (select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
      from jobledger.ready as r where (r.shard = p_shard) is true and r.tenant = p_tenant and (r.tenant, r.id) < (p_tenant, p_below) order by r.id desc limit p_most)
    union all
    (select g.shard, g.id, g.tenant, g.queue, g.kind, 'running', g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
      from jobledger.running as g where (g.shard = p_shard) is true and g.tenant = p_tenant and (g.tenant, g.id) < (p_tenant, p_below) order by g.id desc limit p_most)
    union all
    (select v.* from unnest('{scheduled,blocked,ready,suspended,parked}'::jobledger.job_state[]) as s (state) cross join lateral (
      select w.shard, w.id, w.tenant, w.queue, w.kind, w.state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null::uuid, null::int, null::timestamptz, null::timestamptz, w.reason
      from jobledger.waiting as w where w.state = s.state and (w.shard = p_shard) is true and w.tenant = p_tenant and (w.tenant, w.state, w.id) < (p_tenant, s.state, p_below) order by w.id desc limit p_most) as v)
    union all
    (select v.* from unnest('{succeeded,failed,killed,cancelled}'::jobledger.job_state[]) as s (state) cross join lateral (
      select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null::timestamptz, null::timestamptz, null::uuid, null::int, null::timestamptz, f.finished_at, null::text
      from jobledger.finished as f where f.state = s.state and (f.shard = p_shard) is true and f.tenant = p_tenant and (f.tenant, f.state, f.id) < (p_tenant, s.state, p_below) order by f.id desc limit p_most) as v)
  ) as j order by j.id desc limit p_most
$$;
