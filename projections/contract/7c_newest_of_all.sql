-- Everybody's newest jobs below an id, whatever their state, at most so many: as the tables have them now, by their primary keys.
create or replace function jobledger.newest_of_all(p_shard smallint, p_below uuid, p_most int) returns setof jobledger.jobs
language sql stable
as $$
  select j.shard, j.id, j.tenant, j.queue, j.kind, j.state, j.priority, j.attempt, j.max_attempts, j.owner, j.head, j.run_at, j.kill_at, j.worker, j.claim, j.claimed_at, j.finished_at, j.reason,
    jobledger.time_of(j.id)
  from (
    (select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason
      from jobledger.ready as r where r.shard = p_shard and r.id < p_below order by r.shard desc, r.id desc limit p_most)
    union all
    (select w.shard, w.id, w.tenant, w.queue, w.kind, w.state, w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason
      from jobledger.waiting as w where w.shard = p_shard and w.id < p_below order by w.shard desc, w.id desc limit p_most)
    union all
    (select g.shard, g.id, g.tenant, g.queue, g.kind, 'running', g.priority, g.attempt, g.max_attempts, g.owner, g.head, g.run_at, g.kill_at, g.worker, g.claim, g.claimed_at, null, case when g.cancel_requested then 'cancel_requested' end
      from jobledger.running as g where g.shard = p_shard and g.id < p_below order by g.shard desc, g.id desc limit p_most)
    union all
    (select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null, null, null, null, null, f.finished_at, null
      from jobledger.finished as f where f.shard = p_shard and f.id < p_below order by f.shard desc, f.id desc limit p_most)
  ) as j order by j.id desc limit p_most
$$;
